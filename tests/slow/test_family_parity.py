"""A parity certificate for every model of the table: torch, OpenVINO and onnxruntime.

Weights are random (the published ones cannot be fetched in a test) but scaled so that scores
spread; raw outputs are compared, before suppression, on a small input. With
``VODKIT_PARITY_JSON=FILE`` the table of differences is written there.
"""

import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import detection, get_model_weights

from vodkit.detect import networks
from vodkit.detect.base import ModelCard
from vodkit.detect.checkpoint import save_checkpoint
from vodkit.detect.decode import UNBATCHED
from vodkit.detect.detector import GraphDetector
from vodkit.detect.export import export_detector
from vodkit.detect.models import build_network, load_detector
from vodkit.detect.parity import Differences, compare, compare_outputs
from vodkit.detect.preprocess import place
from vodkit.detect.published import MODELS
from vodkit.detect.runtimes import table
from vodkit.detect.runtimes.base import versions
from vodkit.detect.runtimes.torch_module import TorchRuntime
from vodkit.detect.torchvision_family import BUILDERS
from vodkit.ground import ledger
from vodkit.ground.errors import InputError, WeightsError
from vodkit.ground.records import Frame
from vodkit.samples.samples import CLIP_B
from vodkit.video.reader import open_video

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PUBLISH = os.environ.get("VODKIT_PARITY_JSON")
# Other widths and depths of networks that are compared; only for a table that is published.
VARIANTS = {
    "yolox_tiny", "yolox_m", "yolox_l", "yolox_x", "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_resnet50_fpn", "fasterrcnn_efficientnet_lite2_fpn", "retinanet_resnet50_fpn",
}  # fmt: skip
NETWORKS = [
    name
    for name in MODELS
    if MODELS[name]().family in {"yolox", "torchvision"} and (PUBLISH or name not in VARIANTS)
]
# Real weights (the sample, below) agree ten times better than random ones.
TOLERANCE_PX, TOLERANCE_SCORE = 0.05, 1e-3
SEEN: dict[str, dict[str, object]] = {}


@pytest.fixture(scope="module", autouse=True)
def _written() -> Iterator[None]:
    yield
    if PUBLISH:
        content = {"versions": versions(), "against": "torch", "models": SEEN}
        Path(PUBLISH).write_text(json.dumps(content, indent=1))


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    with open_video(CLIP_B) as video:
        return [video.frame_at(index) for index in (0, 60)]


def small(card: ModelCard) -> ModelCard:
    """The same network on a small picture; SSD's input size is fixed by its anchors."""
    wanted = card.preprocessing
    if wanted.resize == "stretch":
        return card
    if wanted.resize == "fit":
        return replace(card, preprocessing=replace(wanted, width_px=224, height_px=160))
    return replace(card, preprocessing=replace(wanted, width_px=160, height_px=160))


# Last layers, and how far their outputs spread: of classes (in logits) and of boxes.
SCORES = ("cls_logits", "cls_score", "obj_pred", "cls_pred", "classification_head.module_list")
BOXES = ("bbox", "reg_pred", "regression_head.module_list")
SPREAD_SCORES, SPREAD_SOFTMAX, SPREAD_BOXES = 1.5, 4.0, 0.5
PROPOSALS = {"training": 0, "testing": 100}  # published: 1,000, each through the second stage


@torch.no_grad()
def spread(module: nn.Module, picture_BHW3: torch.Tensor, card: ModelCard) -> None:
    """Random weights whose scores differ from box to box, over norms that know their inputs."""
    torch.manual_seed(1)
    last: dict[nn.Conv2d | nn.Linear, float] = {}
    softmax = card.name.startswith(("ssd", "faster"))
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.weight.normal_(0, (2 / layer.weight[0].numel()) ** 0.5)
            if any(word in name for word in SCORES):
                last[layer] = SPREAD_SOFTMAX if softmax else SPREAD_SCORES
                if layer.bias is not None:
                    layer.bias.fill_(0.0 if softmax else -4.0)
            elif any(word in name for word in BOXES):
                last[layer] = SPREAD_BOXES
    graph = networks.deployed(module, card)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
            layer.train()
            if layer.affine:  # activations bend little there, so rounding grows little
                layer.weight.fill_(0.5)
                layer.bias.fill_(0.75)
    several = torch.cat([picture_BHW3, picture_BHW3.flip(2), 255 - picture_BHW3])
    shown = picture_BHW3 if card.output.decoding in UNBATCHED else several
    graph(shown)
    graph.eval()
    seen: dict[nn.Module, list[float]] = {layer: [] for layer in last}
    hooks = [
        layer.register_forward_hook(lambda at, _given, out: seen[at].append(float(out.std())))
        for layer in last
    ]
    graph(shown)
    for hook in hooks:
        hook.remove()
    for layer, wanted in last.items():
        layer.weight.mul_(wanted / max(seen[layer], default=1.0))


def few_proposals(module: Any) -> None:
    if hasattr(module, "rpn"):
        module.rpn._post_nms_top_n = PROPOSALS


def network(name: str, frame: Frame) -> tuple[nn.Module, ModelCard]:
    """A model and its card: packaged weights as they are, else random ones that say something."""
    if name == "vodkit-street":
        return build_network(name)
    torch.manual_seed(0)  # biases are what they begin with
    module, card = build_network(name, weights="random")
    few_proposals(module)
    card = small(card)
    picture, _ = place(frame, card.preprocessing)
    spread(module, torch.from_numpy(picture.copy())[None], card)
    return module, card


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[ProcessPoolExecutor]:
    """A process for every few models: what converters keep of a network goes with it."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=3) as pool:
        yield pool


def differences(
    name: str, frames: list[Frame], cache: Path
) -> dict[str, tuple[Differences, float]]:
    """Of each runtime against torch, and the seconds that it took."""
    os.environ["VODKIT_CACHE"] = str(cache)
    module, card = network(name, frames[0])
    card = replace(card, sha256="0" * 64)
    graph = networks.deployed(module, card)
    wanted = table.Runnable(card=card, device="cpu", graph=lambda: graph)
    pictures = [place(frame, card.preprocessing)[0] for frame in frames]
    height, width = pictures[0].shape[:2]
    expected = table.RUNTIMES["torch"](wanted).run(pictures)
    found = {}
    for runtime in ("torch", "openvino", "onnx"):
        started = time.perf_counter()
        running = table.RUNTIMES[runtime](wanted)
        outputs = running.run(pictures)
        for one, again in zip(outputs, running.run(pictures), strict=True):
            assert all(map(np.array_equal, one, again)), f"{runtime} says two things of one picture"
        seen = compare_outputs(
            expected, outputs, decoding=card.output.decoding, size_px=(width, height)
        )
        found[runtime] = seen, round(time.perf_counter() - started, 1)
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_every_runtime_says_what_torch_says(
    name: str, frames: list[Frame], tmp_path: Path, elsewhere: ProcessPoolExecutor
) -> None:
    found = elsewhere.submit(differences, name, frames, tmp_path).result()
    card = MODELS[name]()
    size = small(card).preprocessing if name != "vodkit-street" else card.preprocessing
    SEEN[name] = {
        "decoding": card.output.decoding,
        "input_px": [size.width_px, size.height_px],
        **{runtime: {**asdict(one), "seconds": s} for runtime, (one, s) in found.items()},
    }
    for runtime, (one, _) in found.items():
        assert one.num_boxes > 0, (runtime, one)
        assert one.within(px=TOLERANCE_PX, score=TOLERANCE_SCORE, unpaired=0.01), (runtime, one)


@pytest.mark.parametrize("name", BUILDERS)
def test_detections_are_those_of_torchvisions_own_forward(name: str, frames: list[Frame]) -> None:
    """Same weights, same picture: their transform, heads and suppression against ours."""
    module, card = network(name, frames[0])
    official: Any = getattr(detection, name)(weights=None, weights_backbone=None).eval()
    official.load_state_dict(module.state_dict())
    few_proposals(official)
    picture, _ = place(frames[0], card.preprocessing)
    height, width = picture.shape[:2]
    if card.preprocessing.resize == "fit":
        official.transform.min_size, official.transform.max_size = (height,), width
    every: Any = module
    for one in (official, every):
        if hasattr(one, "topk_candidates"):  # theirs count classes that nobody uses
            one.topk_candidates = one.detections_per_img = 1_000_000
        if hasattr(one, "score_thresh"):  # what is below is not compared; they need not suppress it
            one.score_thresh = 0.25
    # Random weights amplify rounding, so both compute in double precision.
    official.double()
    runtime = TorchRuntime(
        networks.deployed(module, card).double(),
        device=torch.device("cpu"),
        batched=card.output.decoding not in UNBATCHED,
    )
    found = GraphDetector(
        card, runtime, score_threshold=0.3, max_detections=None, classes=None
    ).detect([Frame(0, 0.0, picture)])[0]
    with torch.inference_mode():
        theirs = official([torch.from_numpy(picture.copy()).permute(2, 0, 1).double() / 255])[0]
    categories = get_model_weights(name).DEFAULT.meta["categories"]
    names = np.array([categories[int(label)] for label in theirs["labels"]])
    # After clipping, some of theirs are empty; none of ours are.
    real = (theirs["boxes"][:, 2:] > theirs["boxes"][:, :2]).all(dim=1).numpy()
    keep = np.isin(names, card.classes) & (theirs["scores"].numpy() >= 0.3) & real
    labels = np.array([card.classes.index(one) for one in names[keep]], np.int64)
    expected = (theirs["boxes"].numpy()[keep], theirs["scores"].numpy()[keep], labels)
    ours = (found.boxes_xyxy, found.scores, found.labels)
    seen = compare_outputs([expected], [ours], decoding="boxes", size_px=(width, height))
    SEEN[f"{name}, detections of torchvision's own forward"] = asdict(seen)
    assert seen.num_boxes >= 10
    assert abs(len(labels) - len(found)) <= 0.01 * len(labels) + 1
    assert seen.within(px=0.1, score=1e-4, unpaired=0.01), (len(found), seen)


# One class: then levels of the pyramid have fewer candidates than are kept, how many depends on the
# shape of the picture.
@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("fasterrcnn_mobilenet_v3_large_320_fpn", ".xml"),
        ("fcos_resnet50_fpn", ".onnx"),
        ("fcos_resnet50_fpn", ".pt2"),
    ],
)
def test_an_export_sees_each_shape_of_picture_as_its_original_does(
    name: str, ending: str, frames: list[Frame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VODKIT_CACHE", str(tmp_path))
    torch.manual_seed(0)
    module, card = build_network(name, weights="random", classes=("person",))
    card = small(card)
    spread(module, torch.from_numpy(place(frames[0], card.preprocessing)[0].copy())[None], card)
    own = tmp_path / "own.safetensors"
    save_checkpoint(module.state_dict(), card, own)
    path = own.with_suffix(ending)
    certificate = export_detector(own, path, frames=frames[:1])
    assert list(certificate.by_input) == ["224x160", "160x224", "160x160"]
    assert min(one.num_boxes for one in certificate.by_input.values()) > 10
    options = {"score_threshold": 0.01, "max_detections": None}
    original = load_detector(own, runtime="torch", device="cpu", **options)
    exported = load_detector(path, **options)
    image = frames[1].image
    tall = Frame(0, 0.0, np.ascontiguousarray(image[:, : image.shape[0] // 2]))
    if ending == ".pt2":  # torch takes no level of the pyramid to be a single cell wide
        with pytest.raises(InputError, match=r"input of 128x224 px .*\.onnx"):
            exported.detect([tall])
        tall = Frame(0, 0.0, np.ascontiguousarray(image[:, : image.shape[0] * 4 // 5]))
    seen = compare(original, exported, [tall, frames[1], tall])
    assert seen.num_boxes > 30
    assert seen.within(px=0.1, score=1e-3, unpaired=0.01), seen


def test_a_two_stage_network_is_no_archive_of_torch_export(
    frames: list[Frame],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("VODKIT_CACHE", str(tmp_path))
    module, card = network("fasterrcnn_mobilenet_v3_large_320_fpn", frames[0])
    own = tmp_path / "own.safetensors"
    save_checkpoint(module.state_dict(), card, own)
    with pytest.raises(
        WeightsError, match=r"hangs on how many boxes it finds .*allowed: .onnx, .xml"
    ):
        export_detector(own, tmp_path / "own.pt2", frames=frames)
    assert capfd.readouterr().err == ""
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {"own.safetensors", "own.card.json", ledger.NAME}


def test_the_same_predictions_from_every_runtime_on_the_sample(tmp_path: Path) -> None:
    with open_video(CLIP_B) as video:
        frames = list(video.frames(every=12))
    reference = load_detector("vodkit-street", runtime="torch", score_threshold=0.01, device="cpu")
    line: dict[str, object] = {}
    for runtime in ("openvino", "onnx", "compile"):
        if runtime == "compile" and shutil.which("c++") is None:
            continue
        other = load_detector("vodkit-street", runtime=runtime, score_threshold=0.01, device="cpu")
        # Each size of a batch is compiled by itself, for half a minute: one of 4, not 8 and 2.
        seen = compare(reference, other, frames[:4] if runtime == "compile" else frames)
        line[runtime] = asdict(seen)
        assert seen.num_boxes > 100
        assert seen.within(px=0.01, score=1e-4), (runtime, seen)
    SEEN["vodkit-street, detections on the sample"] = line
