"""Stored features come back as they went in, to half precision, and only when complete."""

from pathlib import Path

import pytest
import torch

from vodkit.data.feature_cache import FeatureCache, Layout, is_finished
from vodkit.ground import ledger
from vodkit.ground.errors import InputError, OutputError

LAYOUT = Layout(((4, 3, 5), (2, 2)), num_slots=6)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "f16", LAYOUT)
    maps = [torch.randn(3, 4, 3, 5).half().float(), torch.randn(3, 2, 2).half().float()]
    cache.write([4, 0, 2], maps)
    back = cache.read([2, 4])
    assert torch.equal(back[0], maps[0][[2, 0]])
    assert torch.equal(back[1], maps[1][[2, 0]])
    assert (tmp_path / "f16").stat().st_size == LAYOUT.num_bytes == 6 * 64 * 2


def test_only_a_complete_cache_of_the_same_things_counts(tmp_path: Path) -> None:
    path = tmp_path / "f16"
    cache = FeatureCache(path, LAYOUT)
    assert not is_finished(path, {"seed": 1})
    cache.finish({"seed": 1})
    assert is_finished(path, {"seed": 1})
    assert not is_finished(path, {"seed": 2})
    again = FeatureCache(path, LAYOUT)
    assert torch.equal(again.read([0])[1], cache.read([0])[1])


def test_numbers_beyond_half_precision_are_refused(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "f16", LAYOUT)
    with pytest.raises(InputError, match="half precision"):
        cache.write([0], [torch.full((1, 4, 3, 5), 1e6), torch.zeros(1, 2, 2)])


def test_no_room_is_said_before_training(tmp_path: Path) -> None:
    huge = Layout(((2**30,),), num_slots=2**14)
    with pytest.raises(OutputError, match="lower cache_gib"):
        FeatureCache(tmp_path / "f16", huge)
    assert [path.name for path in tmp_path.iterdir()] == [ledger.NAME]
