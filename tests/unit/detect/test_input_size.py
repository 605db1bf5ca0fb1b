"""``--size``: the card of another input size, and what a network finds there."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from vodkit.detect import networks
from vodkit.detect.base import ModelCard, Output, Preprocessing, write_card
from vodkit.detect.detector import GraphDetector
from vodkit.detect.input_size import card_at, label, scaled, why_fixed
from vodkit.detect.models import find_card, load_detector
from vodkit.detect.published import MODELS
from vodkit.detect.runtimes.base import KeptGraphs
from vodkit.ground.boxes import iou
from vodkit.ground.errors import SettingsError
from vodkit.ground.records import Frame
from vodkit.samples import samples
from vodkit.video.reader import open_video

GRAPH = ModelCard(
    name="foreign",
    family="graph",
    classes=("person",),
    licence="Apache-2.0",
    source="made for a test",
    preprocessing=Preprocessing(width_px=64, height_px=64),
    output=Output(decoding="scored_boxes"),
)


@pytest.mark.parametrize("name", MODELS)
def test_at_its_own_size_a_model_is_the_same_to_the_bit(name: str) -> None:
    card, _ = find_card(name)
    assert card_at(card, "network") is card
    assert card_at(card, label(card)) is card


@pytest.mark.parametrize("name", MODELS)
def test_every_model_takes_twice_its_size_or_says_why_not(name: str) -> None:
    card, _ = find_card(name)
    if name == "ssd300_vgg16":
        assert "300 px" in why_fixed(card)
        with pytest.raises(SettingsError, match="size is 608, but ssd300_vgg16 has default boxes"):
            card_at(card, "608")
        return
    larger = card_at(card, scaled(card, 2))
    size, own = larger.preprocessing, card.preprocessing
    assert (size.width_px, size.height_px) == (2 * own.width_px, 2 * own.height_px)
    assert replace(size, width_px=own.width_px, height_px=own.height_px) == own
    kept = KeptGraphs(Path("kept"), "digest", "torch")
    assert kept.path(card, ".onnx") != kept.path(larger, ".onnx")


def test_one_number_is_the_shorter_side_where_the_input_follows_the_picture() -> None:
    card, _ = find_card("fasterrcnn_mobilenet_v3_large_fpn")
    size = card_at(card, "400").preprocessing
    assert (size.width_px, size.height_px) == (666, 400)


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ("500", "multiples of 32 from 64, as 512"),
        ("640x500", "multiples of 32 from 64, as 640x512"),
        ("32", "from 64, as 64"),
        ("64000", "allowed: above 0, up to 16777216 pixels"),
        ("big", "allowed: network, auto, pixels as 640, or width x height"),
        ("0", "allowed: network, auto"),
        ("auto", "needs videos"),
    ],
)
def test_wrong_sizes_say_what_is_allowed(size: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        card_at(find_card("yolox_nano")[0], size)


def _graph(path: Path, sides: list[int | str]) -> Path:
    entry = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, *sides])
    end = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 3, *sides])
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "identity", [entry], [end])
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    write_card(GRAPH, path.with_suffix(".card.json"))
    return path


def test_graph_files_take_other_sizes_only_where_their_input_is_open(tmp_path: Path) -> None:
    closed, free = _graph(tmp_path / "a.onnx", [64, 64]), _graph(tmp_path / "b.onnx", ["h", "w"])
    assert card_at(GRAPH, "128x96", free).preprocessing.width_px == 128
    with pytest.raises(SettingsError, match="foreign is a graph of a fixed input size"):
        load_detector(closed, size="128")


@pytest.mark.slow
@pytest.mark.parametrize("size", ["192", "256x160"])
@pytest.mark.parametrize("name", ["yolox_nano", "ssdlite320_mobilenet_v3_large"])
def test_networks_of_one_grid_run_at_other_shapes(name: str, size: str) -> None:
    torch.manual_seed(0)
    detector = load_detector(
        name, weights="random", runtime="torch", device="cpu", size=size, score_threshold=0
    )
    picture = np.random.default_rng(0).integers(0, 255, (97, 181, 3), dtype=np.uint8)
    (found,) = detector.detect([Frame(0, 0.0, picture)])
    assert len(found) > 10
    assert (found.boxes_xyxy.max(axis=0) <= [181, 97, 181, 97]).all()


def test_default_boxes_keep_their_pixels() -> None:
    card, _ = find_card("ssdlite320_mobilenet_v3_large")
    larger = card_at(card, "640x448")
    boxes = []
    for one in (card, larger):
        graph = networks.deployed(networks.build(one), one).inner
        size = one.preprocessing
        x = torch.zeros(1, 3, size.height_px, size.width_px)
        with torch.no_grad():
            features = list(graph.module.backbone(x).values())
            boxes.append(graph._anchors(features, x))
    own, other = (torch.unique((b[:, 2:] - b[:, :2]).round(decimals=2), dim=0) for b in boxes)
    torch.testing.assert_close(own, other, atol=0.02, rtol=0)


def _street(size: str) -> GraphDetector:
    return load_detector(
        "vodkit-street", runtime="torch", device="cpu", size=size, score_threshold=0.3
    )


@pytest.mark.slow
@pytest.mark.parametrize("size", ["416x320", "544", "736x384"])
def test_boxes_lie_on_the_same_objects_at_every_size_and_shape(size: str) -> None:
    with open_video(samples.CLIP_B) as video:
        whole = [video.frame_at(0), video.frame_at(40)]
    odd = [Frame(f.index, f.time_s, f.image[: f.height_px - 7, 3:]) for f in whole]
    for frame in (*whole, *odd):
        (own,), (other,) = (_street(one).detect([frame]) for one in ("network", size))
        sure = own.boxes_xyxy[own.scores > 0.6]
        assert len(sure)
        best = iou(sure, other.boxes_xyxy).max(axis=1)
        assert np.median(best) > 0.75


PETS = Path("../shared/data/sequences/pets09_s2l1")


@pytest.mark.slow
@pytest.mark.skipif(not PETS.is_dir(), reason="needs ../shared/data/sequences/pets09_s2l1")
def test_twice_the_size_finds_small_objects() -> None:
    """Four views side by side: people of half the pixels. Found are those of IoU 0.5 or more."""
    rows = np.loadtxt(PETS / "gt.txt", delimiter=",")
    share = {}
    with open_video(PETS / "vtest.avi") as video:
        frames = [video.frame_at(index) for index in (0, 60)]
    for size in ("network", "832"):
        hits, detector = [], _street(size)
        for frame in frames:
            picture = np.tile(frame.image, (2, 2, 1))
            (found,) = detector.detect([Frame(0, 0.0, picture)])
            truth = rows[rows[:, 0] == frame.index + 1, 2:6]
            truth = np.column_stack([truth[:, :2], truth[:, :2] + truth[:, 2:]])
            offsets = [(0, 0), (768, 0), (0, 576), (768, 576)]
            whole = np.concatenate([truth + np.array([x, y, x, y]) for x, y in offsets]).astype(
                np.float32
            )
            hits.append(iou(whole, found.boxes_xyxy).max(axis=1, initial=0) >= 0.5)
        share[size] = float(np.concatenate(hits).mean())
    assert share["832"] > share["network"] + 0.2, share
