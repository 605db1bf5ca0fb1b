"""A parity certificate for every model of the table: torch, OpenVINO and onnxruntime.

Weights are random (the published ones cannot be fetched in a test) but scaled so that scores
spread; raw outputs are compared, before suppression, on a small input. With
``VODKIT_PARITY_JSON=FILE`` the table of differences is written there.
"""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from vodkit.detect import networks
from vodkit.detect.base import ModelCard
from vodkit.detect.models import MODELS, build_network, load_detector
from vodkit.detect.parity import compare, compare_outputs
from vodkit.detect.preprocess import place
from vodkit.detect.runtimes import table
from vodkit.detect.runtimes.base import versions
from vodkit.records import Frame
from vodkit.samples.samples import CLIP_B
from vodkit.video.reader import open_video

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
NETWORKS = [name for name in MODELS if MODELS[name]().family in {"yolox", "torchvision"}]
TOLERANCE_PX, TOLERANCE_SCORE = 0.05, 1e-4
SEEN: dict[str, dict[str, object]] = {}


@pytest.fixture(scope="module", autouse=True)
def _written() -> Iterator[None]:
    yield
    if os.environ.get("VODKIT_PARITY_JSON"):
        content = {"versions": versions(), "against": "torch", "models": SEEN}
        Path(os.environ["VODKIT_PARITY_JSON"]).write_text(json.dumps(content, indent=1))


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


def spread(module: nn.Module) -> None:
    """Random weights whose scores differ from box to box, over norms that know their inputs."""
    torch.manual_seed(1)
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.weight.dim() > 1:
            fan = layer.weight[0].numel()
            last = any(word in name for word in ("cls_logits", "cls_score", "obj_pred", "cls_pred"))
            layer.weight.normal_(0, (6.0 if last else 1.4) / fan**0.5)
            if last and layer.bias is not None:
                layer.bias.normal_(0, 1.0)


@torch.no_grad()
def network(name: str, frames: list[Frame]) -> tuple[nn.Module, ModelCard]:
    """The graph of a model: packaged weights as they are, else random ones that say something."""
    if name == "vodkit-street":
        module, card = build_network(name)
        return networks.deployed(module, card), card
    module, card = build_network(name, weights="random")
    card = small(card)
    spread(module)
    module.train()  # a few pictures through the trunk teach the norms their statistics
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
    picture, _ = place(frames[0], card.preprocessing)
    x = networks.normalise(torch.from_numpy(picture.copy()).permute(2, 0, 1)[None], card)
    noisy = torch.cat([x, x.flip(3), x + 0.2 * x.std() * torch.randn_like(x)])
    whole: object = module
    getattr(whole, "backbone")(noisy)  # noqa: B009
    return networks.deployed(module, card), card


@pytest.mark.parametrize("name", NETWORKS)
def test_every_runtime_says_what_torch_says(
    name: str, frames: list[Frame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VODKIT_CACHE", str(tmp_path))
    graph, card = network(name, frames)
    card = replace(card, sha256="0" * 64)
    wanted = table.Runnable(card=card, device="cpu", graph=lambda: graph)
    pictures = [place(frame, card.preprocessing)[0] for frame in frames]
    height, width = pictures[0].shape[:2]
    expected = table.RUNTIMES["torch"](wanted).run(pictures)
    line: dict[str, object] = {"decoding": card.output.decoding, "input_px": [width, height]}
    for runtime in ("openvino", "onnx"):
        started = time.perf_counter()
        outputs = table.RUNTIMES[runtime](wanted).run(pictures)
        seen = compare_outputs(
            expected, outputs, decoding=card.output.decoding, size_px=(width, height)
        )
        line[runtime] = {**asdict(seen), "seconds": round(time.perf_counter() - started, 1)}
        SEEN[name] = line
        assert seen.num_boxes > 0, (runtime, seen)
        assert seen.within(px=TOLERANCE_PX, score=TOLERANCE_SCORE), (runtime, seen)
    scores = np.concatenate([out[1 if len(out) > 1 else 0].ravel() for out in expected])
    assert np.isfinite(scores).all()


def test_the_same_predictions_from_every_runtime_on_the_sample(tmp_path: Path) -> None:
    with open_video(CLIP_B) as video:
        frames = list(video.frames(every=12))
    reference = load_detector("vodkit-street", runtime="torch", score_threshold=0.01, device="cpu")
    line: dict[str, object] = {}
    for runtime in ("openvino", "onnx", "compile"):
        if runtime == "compile" and not table._is_here("compile"):
            continue
        other = load_detector("vodkit-street", runtime=runtime, score_threshold=0.01, device="cpu")
        seen = compare(reference, other, frames)
        line[runtime] = asdict(seen)
        assert seen.num_boxes > 100
        assert seen.within(px=0.01, score=1e-4), (runtime, seen)
    SEEN["vodkit-street, detections on the sample"] = line
