"""Cards and weights from elsewhere: names never become paths, sizes are limited, NaN is refused."""

import json
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import openvino as ov
import pytest
import torch

from vodkit.detect import weights
from vodkit.detect.base import Preprocessing, read_card
from vodkit.detect.checkpoint import load_checkpoint, save_checkpoint
from vodkit.detect.models import find_card
from vodkit.detect.onnx_files import broken_tensors
from vodkit.detect.runtimes.openvino_graph import read_model
from vodkit.detect.runtimes.torch_module import read_exported
from vodkit.ground.errors import InputError, OutputError, WeightsError

onnx = pytest.importorskip("onnx", reason="the extra 'onnx' is not installed")


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../../evil"},
        {"name": "/etc/cron.d/evil"},
        {"name": "C:evil"},
        {"name": "a\x1b[2Jb"},
        {"name": ".hidden"},
        {"name": "a" * 300},
        {"name": ""},
        {"classes": [f"c{i}" for i in range(100_001)]},
        {"preprocessing": {"width_px": 20000, "height_px": 20000}},
        {"preprocessing": {"width_px": 320, "height_px": 320, "scale": float("nan")}},
        {"preprocessing": {"width_px": 320, "height_px": 320, "std": [1, float("inf"), 1]}},
    ],
)
def test_a_card_that_asks_for_too_much_is_refused(tmp_path: Path, change: dict) -> None:
    card, _ = find_card("vodkit-street")
    path = tmp_path / "a.card.json"
    path.write_text(json.dumps({**asdict(card), **change}))
    with pytest.raises(InputError) as caught:
        read_card(path)
    assert len(str(caught.value)) < 600


def test_a_card_of_many_bytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.card.json"
    with path.open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(InputError, match="larger than"):
        read_card(path)


def test_inputs_of_4k_are_allowed() -> None:
    assert Preprocessing(width_px=3840, height_px=2176).width_px == 3840


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, value: float, suffix: str) -> None:
    card, _ = find_card("vodkit-street")
    state = {"good": torch.ones(3), "bad.weight": torch.tensor([1.0, value])}
    path = tmp_path / f"a{suffix}"
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_checkpoint(state, replace(card, name="a"), path)
        with pytest.raises(WeightsError, match=r"1 tensors hold NaN or infinite.*bad\.weight"):
            load_checkpoint(path)
    with pytest.raises(WeightsError, match=r"1 tensors hold NaN or infinite.*bad\.weight"):
        weights.read_state(path)


def _graph(value: float, kind: int, *, raw: bool) -> Any:
    """One addition of a constant tensor."""
    helper = onnx.helper
    made = helper.make_tensor("bad.weight", kind, [2], [1.0, value])
    if raw:
        made = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(made), "bad.weight")
    places = [helper.make_tensor_value_info(name, kind, [2]) for name in ("x", "y")]
    node = helper.make_node("Add", ["x", "bad.weight"], ["y"])
    graph = helper.make_graph([node], "g", places[:1], places[1:], [made])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.slow
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2.0])
@pytest.mark.parametrize("form", ["raw", "list", "half", "external", ".xml", ".pt2"])
def test_graphs_that_are_not_finite_are_refused(tmp_path: Path, value: float, form: str) -> None:
    path = tmp_path / "a.onnx"
    kind = onnx.TensorProto.FLOAT16 if form == "half" else onnx.TensorProto.FLOAT
    model = _graph(value, kind, raw=form != "list")
    onnx.save(
        model, path, save_as_external_data=form == "external", location="a.bin", size_threshold=0
    )
    finite = value == 2.0
    expected = [] if finite else ["bad.weight"]
    if form == ".pt2":
        module = _Constant(value)
        torch.export.save(torch.export.export(module, (torch.ones(2),)), tmp_path / "a.pt2")
        with _refused(finite):
            read_exported(tmp_path / "a.pt2")
        return
    if form == ".xml":
        ov.save_model(ov.Core().read_model(path), tmp_path / "a.xml", compress_to_fp16=False)
        path = tmp_path / "a.xml"
    else:
        assert list(broken_tensors(path)) == expected
    with _refused(finite):
        read_model(path)


class _Constant(torch.nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.bad = torch.nn.Parameter(torch.tensor([1.0, value]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.bad


def _refused(finite: bool) -> AbstractContextManager[object]:
    return nullcontext() if finite else pytest.raises(WeightsError, match="1 tensors hold NaN")


def test_a_cache_that_others_may_write_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VODKIT_CACHE", str(tmp_path / "cache"))
    assert weights.cache_folder() == tmp_path / "cache", "one that does not exist yet"
    (tmp_path / "cache").mkdir(mode=0o755)
    assert weights.cache_folder() == tmp_path / "cache"
    (tmp_path / "cache").chmod(0o777)
    with pytest.raises(OutputError, match="others may write into it; chmod go-w"):
        weights.cache_folder()
    (tmp_path / "cache").chmod(0o755)
    monkeypatch.setattr(weights.os, "geteuid", lambda: 12345)
    if (tmp_path / "cache").stat().st_uid != 0:
        with pytest.raises(OutputError, match="belongs to another user"):
            weights.cache_folder()


def test_a_user_without_a_home_has_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "VODKIT_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    assert f"vodkit-{weights.os.getuid()}" in str(weights.cache_folder())
