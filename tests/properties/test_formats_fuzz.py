"""Broken label files: whatever bytes are changed, only our own errors come out."""

from fractions import Fraction
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vodkit.formats.base import Reading
from vodkit.formats.table import FORMATS, read_dataset, write_dataset
from vodkit.ground.account import AccountError
from vodkit.ground.errors import VodkitError
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable, VideoInfo

TOLD = Reading(size_px=(64, 48), rate=Fraction(25))
TOKENS = [b"NaN", b"-1", b"1e999", b"null", b"{}", b"[", b"<", b'"', b"99999999999999999999", b"/",
          b"..", b"\xff\xfe", b"\x00", b"&x;", b",", b"0", b"true"]  # fmt: skip


@cache
def written(name: str) -> tuple[Path, list[Path]]:
    """A small valid file or folder of a format, and the files in it."""
    frames = np.repeat(np.arange(4), 2)
    table = TrackTable(
        frames=frames, times_s=frames / 25, ids=np.tile([1, 2], 4), labels=np.tile([0, 1], 4),
        boxes_xyxy=np.tile([[1, 2, 9.5, 12], [20, 3, 30, 40]], (4, 1)) + frames[:, None],
        visibility=np.tile([0.5, np.nan], 4),
    )  # fmt: skip
    info = VideoInfo(path="a", width_px=64, height_px=48, rate=Fraction(25), num_frames=4)
    video = LabelledVideo(source="clip.mp4", info=info, tracks=table, split="val")
    path = Path(mkdtemp()) / {"predictions": "a.jsonl"}.get(name, "a")
    write_dataset(Dataset(classes=("bee", "fly"), videos=(video,)), path, name)
    files = [path] if path.is_file() else sorted(x for x in path.rglob("*") if x.is_file())
    return path, files


@st.composite
def damages(draw: st.DrawFn) -> list[tuple[float, int, bytes]]:
    """Where (a share of the file), how many bytes go, and what stands there instead."""
    damage = st.tuples(
        st.floats(0, 1),
        st.integers(0, 12),
        st.one_of(st.sampled_from(TOKENS), st.binary(max_size=4)),
    )
    return draw(st.lists(damage, min_size=1, max_size=3))


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(damage=damages(), which=st.integers(0, 10**6), collect=st.booleans())
def test_only_our_own_errors(
    name: str, damage: list[tuple[float, int, bytes]], which: int, collect: bool
) -> None:
    path, files = written(name)
    file = files[which % len(files)]
    content = file.read_bytes()
    broken = content
    for share, size, token in damage:
        start = int(share * len(broken))
        broken = broken[:start] + token + broken[start + size :]
    faults: list[VodkitError] = []
    told = Reading(size_px=(64, 48), rate=Fraction(25), fault=faults.append) if collect else TOLD
    try:
        file.write_bytes(broken)
        read_dataset(path, name, reading=told)
    except AccountError:
        raise
    except VodkitError:
        pass
    finally:
        file.write_bytes(content)


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(head=st.binary(max_size=200))
def test_sniffing_never_raises(name: str, head: bytes) -> None:
    folder = Path(mkdtemp())
    for ending in (".json", ".xml", ".txt", ".yaml", ".jsonl", ""):
        path = folder / f"a{ending}"
        path.write_bytes(head)
        assert FORMATS[name].sniff(path) in (True, False)
