"""What every model of the table and every detector must hold to."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from vodkit.detect import networks
from vodkit.detect.base import Detector, ModelCard, Output, Preprocessing
from vodkit.detect.checkpoint import save_checkpoint
from vodkit.detect.decode import DECODINGS
from vodkit.detect.imagenet import LITE
from vodkit.detect.models import build_network, find_card, listed, load_detector
from vodkit.detect.published import MODELS
from vodkit.detect.targets import Target
from vodkit.ground.errors import SettingsError, WeightsError
from vodkit.ground.records import Frame
from vodkit.ground.runs import sha256

PUBLISHED = [name for name in MODELS if name not in {"vodkit-street", *LITE}]
SMALL = ModelCard(
    name="small",
    family="yolox",
    classes=("person", "car", "dog"),
    licence="Apache-2.0",
    source="made for a test",
    preprocessing=Preprocessing(width_px=64, height_px=64),
    output=Output(decoding="scored_boxes"),
    architecture={"size": "nano"},
)


@pytest.mark.parametrize("name", PUBLISHED)
def test_cards_are_whole(name: str) -> None:
    card, path = find_card(name)
    assert (card.name, path) == (name, None)
    assert card.url.startswith("https://")
    assert card.licence in {"Apache-2.0", "BSD-3-Clause"}
    assert card.output.decoding in DECODINGS
    assert card.expected[0].name == "AP"
    assert 0.2 < card.expected[0].value < 0.6
    assert len(card.classes) == 80


@pytest.mark.slow
@pytest.mark.parametrize("name", [*PUBLISHED, *LITE])
def test_every_network_has_its_parameters_in_one_stage_each(name: str) -> None:
    card, _ = find_card(name)
    with torch.device("meta"):
        module = networks.build(card)
    inside = [
        id(p)
        for part in networks.stages(module, card).values()
        for layer in part
        for p in layer.parameters()
    ]
    assert len(set(inside)) == len(inside)
    outside = {n for n, p in module.named_parameters() if id(p) not in set(inside)}
    assert outside <= {"backbone.scale_weight"}  # SSD300's one loose parameter


def test_missing_weights_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VODKIT_CACHE", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # offline
    with pytest.raises(WeightsError, match=r"save it as .*yolox_tiny\.pth"):
        load_detector("yolox_tiny")
    assert not [x for x in listed() if x.here and x.card.url]


def test_names_that_do_not_exist_have_near_ones() -> None:
    with pytest.raises(SettingsError, match="did you mean yolox_nano"):
        load_detector("yolox_nanoo")
    with pytest.raises(SettingsError, match="openvino"):
        load_detector("yolox_nano", runtime="openvinno")
    with pytest.raises(WeightsError, match=r"none\.onnx is missing"):
        load_detector("none.onnx")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    module = networks.build(SMALL).eval()
    with torch.no_grad():
        for layer in [*module.head.obj_preds, *module.head.cls_preds]:
            layer.bias.fill_(1.0)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_checkpoint(module.state_dict(), SMALL, path)
    return path


def detector(checkpoint: Path, **options: object) -> Detector:
    made: Detector = load_detector(
        checkpoint, **{"runtime": "torch", "device": "cpu", "score_threshold": 0.3, **options}
    )
    return made


def frames(count: int) -> list[Frame]:
    rng = np.random.default_rng(1)
    pictures = rng.integers(0, 255, (count, 90, 120, 3), dtype=np.uint8)
    pictures.flags.writeable = False
    return [Frame(i, i / 10, picture) for i, picture in enumerate(pictures)]


def test_detections_are_in_the_source_and_best_first(checkpoint: Path) -> None:
    found = detector(checkpoint)
    assert found.detect([]) == []
    some = found.detect(frames(2))
    assert len(some) == 2
    for one in some:
        assert len(one) > 3
        assert (np.diff(one.scores) <= 0).all()
        assert one.scores.min() >= 0.3
        assert one.labels.max() < len(found.classes)
        assert one.boxes_xyxy.min() >= 0
        assert (one.boxes_xyxy.max(axis=0) <= [120, 90, 120, 90]).all()


def test_a_batch_is_its_frames_one_by_one(checkpoint: Path) -> None:
    found = detector(checkpoint)
    together = found.detect(frames(3))
    for frame, one in zip(frames(3), together, strict=True):
        alone = found.detect([frame])[0]
        np.testing.assert_allclose(alone.boxes_xyxy, one.boxes_xyxy, atol=1e-3)
        np.testing.assert_allclose(alone.scores, one.scores, atol=1e-5)


def test_frames_of_several_sizes_in_one_call(checkpoint: Path) -> None:
    tall = Frame(0, 0.0, np.zeros((200, 40, 3), np.uint8))
    some = detector(checkpoint).detect([*frames(1), tall])
    assert some[1].boxes_xyxy.max(axis=0)[2] <= 40


def test_only_the_classes_that_are_wanted_in_the_order_wanted(checkpoint: Path) -> None:
    everything = detector(checkpoint).detect(frames(1))[0]
    some = detector(checkpoint, classes=("dog", "person"))
    assert some.classes == ("dog", "person")
    found = some.detect(frames(1))[0]
    assert len(found) == int((everything.labels != 1).sum())
    np.testing.assert_array_equal(
        found.labels, [{2: 0, 0: 1}[int(x)] for x in everything.labels if x != 1]
    )
    with pytest.raises(SettingsError, match="did you mean person"):
        detector(checkpoint, classes=("persn",))


def test_limits_are_the_callers(checkpoint: Path) -> None:
    assert len(detector(checkpoint, max_detections=2).detect(frames(1))[0]) == 2
    for wrong in ({"score_threshold": 1.5}, {"max_detections": 0}):
        with pytest.raises(SettingsError, match="allowed"):
            detector(checkpoint, **wrong)


def test_weights_of_other_classes_show_the_difference(checkpoint: Path) -> None:
    with pytest.raises(WeightsError, match=r"head\.cls_preds\.0\.bias: - \(80,\) \+ \(3,\)"):
        build_network("yolox_nano", weights=checkpoint)
    with pytest.raises(WeightsError, match=r"missing \(-\)"):
        build_network("ssdlite320_mobilenet_v3_large", weights=checkpoint)


@pytest.mark.slow
def test_new_classes_keep_what_is_known_by_name(checkpoint: Path) -> None:
    old, _ = build_network(checkpoint)
    new, card = build_network(checkpoint, classes=("cat", "car"))
    for name, value in new.state_dict().items():
        before = old.state_dict()[name]
        if "cls_preds" in name:
            torch.testing.assert_close(value[1], before[1])
        else:
            torch.testing.assert_close(value, before)
    assert (card.classes, card.sha256) == (("cat", "car"), "")
    fresh, card = build_network(checkpoint, classes=("cat",), weights="random")
    target = Target(torch.tensor([[8.0, 8, 40, 50]]), torch.tensor([0]))
    images = torch.randint(0, 255, (1, 3, 64, 64), dtype=torch.uint8)
    losses = networks.losses(fresh.train(), card, images, [target])
    assert all(torch.isfinite(value) for value in losses.values())


def test_a_published_weight_file_is_known_by_its_name(tmp_path: Path) -> None:
    card, _ = find_card("yolox_nano")
    module = networks.build(card)
    torch.save({"model": module.state_dict(), "start_epoch": 300}, tmp_path / "yolox_nano.pth")
    read, read_card = build_network(tmp_path / "yolox_nano.pth")
    assert read_card.classes == card.classes
    assert read_card.sha256 == sha256(tmp_path / "yolox_nano.pth")
    other = build_network("yolox_nano", weights=tmp_path / "yolox_nano.pth")[1]
    assert (other.expected, other.url) == ((), "")  # nothing is promised of other weights
    torch.testing.assert_close(
        read.state_dict()["head.stems.0.conv.weight"],
        module.state_dict()["head.stems.0.conv.weight"],
    )
    torch.save({}, tmp_path / "yolo_nano.pth")
    with pytest.raises(SettingsError, match=r"did you mean yolox_nano\.pth"):
        build_network(tmp_path / "yolo_nano.pth")


def test_loading_says_nothing(checkpoint: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        detector(checkpoint).detect(frames(1))
    assert not [record for record in caplog.records if record.name.startswith("vodkit")]
