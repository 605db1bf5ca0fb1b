"""Model files from strangers: every one of them ends in WeightsError, and no code runs."""

import json
import pickle
import struct
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vodkit.detect import weights
from vodkit.detect.base import ModelCard, Output, Preprocessing, write_card
from vodkit.detect.checkpoint import card_path, load_checkpoint
from vodkit.detect.models import load_detector
from vodkit.detect.onnx_files import external_files
from vodkit.ground.errors import WeightsError
from vodkit.ground.records import Frame
from vodkit.ground.runs import sha256

onnx = pytest.importorskip("onnx", reason="the extra 'onnx' is not installed")
FRAME = Frame(0, 0.0, np.zeros((8, 8, 3), np.uint8))
CARD = ModelCard(
    name="m",
    family="graph",
    classes=("a",),
    licence="MIT",
    source="a stranger",
    preprocessing=Preprocessing(width_px=8, height_px=8, layout="nhwc"),
    output=Output(decoding="scored_boxes"),
)


class Mark:
    """Unpickled, it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.write_text, (self.path, "code was run")


def safetensors_of(header: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header


TENSOR = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
SAFETENSORS = {
    "empty": b"",
    "a header of 2^63 bytes": safetensors_of(b"{}", 1 << 63),
    "a header of -1 bytes": b"\xff" * 8 + b"{}",
    "a header longer than the file": safetensors_of(b"{}", 10_000),
    "no JSON": safetensors_of(b"{]"),
    "no UTF-8": safetensors_of(b"\xff\xfe{}"),
    "data that is cut short": safetensors_of(json.dumps({"a": TENSOR}).encode()) + b"1234",
    "offsets beyond the file": safetensors_of(
        json.dumps({"a": {**TENSOR, "data_offsets": [0, 1 << 40]}}).encode()
    ),
    "offsets that go back": safetensors_of(
        json.dumps({"a": {**TENSOR, "data_offsets": [8, 0]}}).encode()
    )
    + b"12345678",
    "a negative shape": safetensors_of(json.dumps({"a": {**TENSOR, "shape": [-2]}}).encode())
    + b"12345678",
    "a shape that overflows": safetensors_of(
        json.dumps({"a": {**TENSOR, "shape": [1 << 62, 1 << 62]}}).encode()
    )
    + b"12345678",
    "an unknown type": safetensors_of(json.dumps({"a": {**TENSOR, "dtype": "EVIL"}}).encode())
    + b"12345678",
}


@pytest.mark.parametrize("what", SAFETENSORS)
def test_safetensors(tmp_path: Path, what: str) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(SAFETENSORS[what])
    with pytest.raises(WeightsError, match=r"m\.safetensors"):
        weights.read_state(path)
    card = ModelCard(**{**vars(CARD), "family": "yolox", "sha256": sha256(path)})
    write_card(card, tmp_path / "m.card.json")
    with pytest.raises(WeightsError, match=r"m\.safetensors"):
        load_checkpoint(path)


def test_pickles_are_never_executed(tmp_path: Path) -> None:
    marked = tmp_path / "marked"
    (tmp_path / "legacy.pth").write_bytes(pickle.dumps(Mark(marked)))
    torch.save({"model": Mark(marked)}, tmp_path / "zip.pth")
    torch.save({"a": torch.ones(3)}, tmp_path / "good.pth")
    content = (tmp_path / "good.pth").read_bytes()
    (tmp_path / "torn.pth").write_bytes(content[: len(content) // 2])
    with zipfile.ZipFile(tmp_path / "paths.pth", "w") as archive:
        archive.writestr("../../outside/data.pkl", pickle.dumps(Mark(marked)))
    for name in ("legacy.pth", "zip.pth", "torn.pth", "paths.pth"):
        with pytest.raises(WeightsError, match=name):
            weights.read_state(tmp_path / name)
    assert not marked.exists()


def test_archives_of_strangers_are_not_unpickled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VODKIT_CACHE", str(tmp_path / "cache"))
    path, marked = tmp_path / "m.pt2", tmp_path / "marked"
    torch.save(Mark(marked), path)
    write_card(CARD, tmp_path / "m.card.json")
    with pytest.raises(WeightsError, match=r"can run code .* vodkit models --trust"):
        load_detector(path)
    assert not marked.exists()
    weights.trust(path)
    weights.require_trust(path)
    path.write_bytes(path.read_bytes() + b" ")  # another file now
    with pytest.raises(WeightsError, match="can run code"):
        load_detector(path)
    assert not marked.exists()
    path.write_bytes(b"not an archive")
    weights.trust(path)
    with pytest.raises(WeightsError, match="cannot read the archive"):
        load_detector(path)


def graph(
    *,
    location: str | None = None,
    inside: str = "initializer",
    shape: Sequence[int | str] = (1, "height", "width", 3),
) -> bytes:
    """A graph that adds a tensor to its input; the tensor may lie at ``location``."""
    tensor = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [3], [1.0, 2.0, 3.0])
    if location is not None:
        tensor.ClearField("float_data")
        tensor.raw_data = b""
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in {"location": location, "offset": "0", "length": "12"}.items():
            tensor.external_data.add(key=key, value=value)
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, shape)
    nodes = [onnx.helper.make_node("Add", ["x", "w"], ["y"])]
    initializers = [tensor]
    if inside == "constant":
        nodes = [onnx.helper.make_node("Constant", [], ["w"], value=tensor), *nodes]
        initializers = []
    if inside == "subgraph":
        taken = onnx.helper.make_graph([], "then", [], [x], [tensor])
        nodes = [onnx.helper.make_node("If", ["c"], ["y"], then_branch=taken, else_branch=taken)]
        initializers = []
    made = onnx.helper.make_graph(nodes, "g", [x], [y], initializers)
    opset = [onnx.helper.make_opsetid("", 17)]
    content: bytes = onnx.helper.make_model(made, opset_imports=opset).SerializeToString()
    return content


@pytest.mark.parametrize("inside", ["initializer", "constant", "subgraph"])
@pytest.mark.parametrize(
    "location", ["../secret", "/etc/passwd", "a/../../secret", "..\\secret", "link", "", "x\0y"]
)
def test_onnx_may_not_point_out_of_its_folder(tmp_path: Path, location: str, inside: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"0" * 12)
    (folder / "link").symlink_to(tmp_path / "secret")
    path = folder / "m.onnx"
    path.write_bytes(graph(location=location, inside=inside))
    write_card(CARD, folder / "m.card.json")
    for load in (external_files, weights.digest, load_detector):
        with pytest.raises(WeightsError, match=r"external data"):
            load(path)


def test_external_data_beside_the_model_belongs_to_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(graph(location="w.bin"))
    with pytest.raises(WeightsError, match=r"'w\.bin' is missing"):
        external_files(path)
    (tmp_path / "w.bin").write_bytes(b"0" * 12)
    assert external_files(path) == [tmp_path / "w.bin"]
    before = weights.digest(path)
    (tmp_path / "w.bin").write_bytes(b"1" * 12)
    assert weights.digest(path) != before
    path.write_bytes(graph())
    assert external_files(path) == []
    assert weights.digest(path) == sha256(path)


@pytest.mark.parametrize("runtime", ["openvino", "onnx"])
def test_broken_and_strange_graphs_are_told(tmp_path: Path, runtime: str) -> None:
    unknown = onnx.load_model_from_string(graph())
    unknown.graph.node[0].domain = "evil.custom"
    unknown.opset_import.append(onnx.helper.make_opsetid("evil.custom", 1))
    content = {
        "empty": b"",
        "torn": graph()[:-7],
        "no protobuf": b"\xff" * 64,
        "a custom operation": unknown.SerializeToString(),
        "cut data": graph(location="w.bin"),
    }
    (tmp_path / "w.bin").write_bytes(b"0" * 4)
    path = tmp_path / "m.onnx"
    write_card(CARD, tmp_path / "m.card.json")
    for data in content.values():
        path.write_bytes(data)
        with pytest.raises(WeightsError):
            load_detector(path, runtime=runtime).detect([FRAME])


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 300))
def test_no_bytes_break_the_reader_of_onnx(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, place: int
) -> None:
    path = tmp_path_factory.mktemp("onnx") / "m.onnx"
    good = graph(location="w.bin", inside="constant")
    path.write_bytes(good[:place] + noise + good[place:])
    try:
        external_files(path)
    except WeightsError:
        return


def test_openvino_files_that_lie_are_told(tmp_path: Path) -> None:
    import openvino as ov

    from vodkit.detect.runtimes.openvino_graph import read_model, save_model

    path = tmp_path / "m.xml"
    (tmp_path / "m.onnx").write_bytes(graph())
    save_model(read_model(tmp_path / "m.onnx"), path)
    good, data = path.read_text(), (tmp_path / "m.bin").read_bytes()
    assert isinstance(read_model(path), ov.Model)
    lies = {
        "an offset beyond": (good.replace('offset="0"', 'offset="999999999"'), data),
        "a negative offset": (good.replace('offset="0"', 'offset="-8"'), data),
        "a size beyond": (good.replace('size="12"', 'size="99999999999"'), data),
        "no data": (good, b""),
        "no XML": ("<net", data),
        "an unknown layer": (good.replace('type="Add"', 'type="Evil"'), data),
    }
    for text, binary in lies.values():
        path.write_text(text)
        (tmp_path / "m.bin").write_bytes(binary)
        with pytest.raises(WeightsError, match=r"m\.xml"):
            read_model(path)


def test_a_foreign_graph_gets_the_digest_of_what_was_read(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(graph())
    write_card(CARD, tmp_path / "m.card.json")
    found = load_detector(path, runtime="onnx")
    assert found.card.sha256 == sha256(path)
    assert found.card.size_bytes == path.stat().st_size


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((1, 8, 8, 3), {"layout": "nchw"}),
        ((1, 8, 8, 3), {"dtype": "uint8"}),
        ((1, 8, 8, 3), {"width_px": 16}),
        ((1, 8, 8, 3), {"resize": "fit"}),
        ((8, 8, 3), {}),
    ],
)
def test_a_card_that_does_not_fit_its_graph_is_refused_at_once(
    tmp_path: Path, shape: tuple[int, ...], said: dict[str, str | int]
) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(graph(shape=shape))
    write_card(replace(CARD, preprocessing=replace(CARD.preprocessing, **said)), card_path(path))
    with pytest.raises(
        WeightsError, match=r"m\.onnx: the graph takes tensor.* its card says tenso"
    ):
        load_detector(path, runtime="onnx")
