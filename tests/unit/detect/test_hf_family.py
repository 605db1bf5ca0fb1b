"""Hugging Face detectors keep every law of the families, on networks of a few thousand numbers."""

import json
import re
import socket
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from vodkit.detect import hf_cards, hf_family, networks
from vodkit.detect.base import ModelCard
from vodkit.detect.checkpoint import save_checkpoint
from vodkit.detect.detector import GraphDetector
from vodkit.detect.export import OnData, export_detector
from vodkit.detect.models import build_network, find_card, load_detector
from vodkit.detect.parity import compare
from vodkit.detect.published import MODELS
from vodkit.detect.runtimes.torch_module import TorchRuntime
from vodkit.detect.targets import Target
from vodkit.detect.weights import weights_path
from vodkit.ground.errors import OutputError, SettingsError, WeightsError
from vodkit.ground.records import Frame
from vodkit.train import freeze
from vodkit.train.ema import Ema
from vodkit.train.frozen_features import cut_points, leaves, rebuilt, record, replaying
from vodkit.train.optim import make_optimizer

pytest.importorskip("transformers", reason="the extra hf is not installed")

SIDE = 64
CLASSES = ("person", "car", "dog")
_RESNET = {"layer_type": "basic", "embedding_size": 8, "depths": [1, 1, 1, 1]}
_RT_RESNET = {
    **_RESNET,
    "model_type": "rt_detr_resnet",
    "hidden_sizes": [8, 16, 16, 24],
    "out_indices": [2, 3, 4],
}
_HGNET = {
    "model_type": "hgnet_v2",
    "out_indices": [2, 3, 4],
    "hidden_sizes": [16, 32, 48, 64],
    "stem_channels": [3, 8, 8],
    "stage_in_channels": [8, 16, 32, 48],
    "stage_mid_channels": [8, 8, 8, 8],
    "stage_out_channels": [16, 32, 48, 64],
    "stage_num_blocks": [1, 1, 1, 1],
    "stage_numb_of_layers": [1, 1, 1, 1],
    "use_learnable_affine_block": True,
}
_DETR: dict[str, Any] = {
    "d_model": 16,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "num_queries": 20,
    "backbone_config": {
        **_RESNET,
        "model_type": "resnet",
        "hidden_sizes": [8, 8, 16, 16],
        "out_features": ["stage4"],
    },
}
_RT_DETR: dict[str, Any] = {
    **_DETR,
    "encoder_hidden_dim": 16,
    "encoder_in_channels": [16, 16, 24],
    "decoder_in_channels": [16, 16, 16],
    "num_denoising": 10,
    "hidden_expansion": 0.5,
    "decoder_n_points": 2,
    "backbone_config": _RT_RESNET,
}
TINY: dict[str, dict[str, Any]] = {
    "rt_detr": _RT_DETR,
    "rt_detr_v2": _RT_DETR,
    "d_fine": {
        **_RT_DETR,
        "encoder_in_channels": [32, 48, 64],
        "decoder_n_points": [2, 2, 2],
        "depth_mult": 0.34,
        "max_num_bins": 8,
        "lqe_hidden_dim": 8,
        "backbone_config": _HGNET,
    },
    "detr": _DETR,
    "conditional_detr": _DETR,
    "deformable_detr": {
        **_DETR,
        "d_model": 32,
        "num_feature_levels": 3,
        "with_box_refine": True,
        "backbone_config": {
            **_DETR["backbone_config"],
            "out_features": ["stage2", "stage3", "stage4"],
        },
    },
    "yolos": {
        "hidden_size": 16,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "image_size": [SIDE, SIDE],
        "num_detection_tokens": 20,
    },
}
KINDS = tuple(TINY)
FAST = ("rt_detr_v2", "detr", "yolos")  # one of each make; importing and building cost the time
QUICK = [*FAST, *(pytest.param(k, marks=pytest.mark.slow) for k in KINDS if k not in FAST)]


def hub_folder(folder: Path, kind: str, names: dict[int, str]) -> Path:
    """What the hub hands out: configuration and preprocessing."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_type": kind, **TINY[kind], "id2label": {str(n): v for n, v in names.items()}}
    (folder / "config.json").write_text(json.dumps(config))
    size = {"height": SIDE, "width": SIDE}
    content = {"size": size, "do_normalize": kind not in {"rt_detr", "rt_detr_v2", "d_fine"}}
    (folder / "preprocessor_config.json").write_text(json.dumps(content))
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    return folder


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("nothing may be fetched")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("hub")
    return {kind: hub_folder(root / kind, kind, dict(enumerate(CLASSES))) for kind in KINDS}


def network(folder: Path) -> tuple[nn.Module, ModelCard]:
    torch.manual_seed(0)
    return build_network(folder, weights="random")


def batch() -> tuple[torch.Tensor, list[Target]]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 255, (2, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    box = torch.tensor([[8.0, 8.0, 40.0, 40.0], [5, 5, 5, 5]])
    return images, [Target(box, torch.tensor([0, 1])), Target(box + 10, torch.tensor([1, 0]))]


def detector(module: nn.Module, card: ModelCard, threshold: float = 0.0) -> GraphDetector:
    runtime = TorchRuntime(
        networks.deployed(module, card), device=torch.device("cpu"), batched=True
    )
    return GraphDetector(
        card, runtime, score_threshold=threshold, max_detections=None, classes=None
    )


def frames(count: int, width: int = SIDE, height: int = SIDE) -> list[Frame]:
    rng = np.random.default_rng(1)
    pictures = rng.integers(0, 255, (count, height, width, 3), dtype=np.uint8)
    return [Frame(i, i / 10, picture) for i, picture in enumerate(pictures)]


def state_of(parts: list[nn.Module]) -> list[torch.Tensor]:
    return [value.clone() for part in parts for value in part.state_dict().values()]


@pytest.mark.slow
@pytest.mark.parametrize("kind", QUICK)
def test_frozen_stages_stay_bit_by_bit_and_the_others_move(
    folders: dict[str, Path], kind: str
) -> None:
    module, card = network(folders[kind])
    for word in ("backbone", "stage2"):
        depth = freeze.FREEZES[word]
        freeze.freeze(module, card, depth)
        before = {name: state_of(parts) for name, parts in networks.stages(module, card).items()}
        ema = Ema(module, decay=0.9, ramp=1)
        optimizer = make_optimizer(
            module, card, name="adamw", lr=1e-2, weight_decay=0.1, stage_lr_ratio=0.5
        )
        torch.stack(list(networks.losses(module, card, *batch()).values())).sum().backward()
        optimizer.step()
        ema.update(module)
        for where in (module, ema.module):
            stages = networks.stages(where, card)
            for place, name in enumerate(freeze.STAGES):
                pairs = zip(before[name], state_of(stages[name]), strict=True)
                same = all(torch.equal(one, two) for one, two in pairs)
                assert same == (place < depth or not before[name]), (name, word)


@pytest.mark.parametrize("kind", QUICK)
def test_every_parameter_is_in_one_stage_and_saved_once(
    folders: dict[str, Path], kind: str
) -> None:
    module, card = network(folders[kind])
    stages = networks.stages(module, card)
    assert list(stages) == list(freeze.STAGES)
    inside = [id(p) for parts in stages.values() for part in parts for p in part.parameters()]
    assert sorted(inside) == sorted(id(p) for p in module.parameters())
    state = module.state_dict()
    assert len({value.data_ptr() for value in state.values() if value.numel()}) == len(state)
    assert not module.load_state_dict(state).missing_keys
    assert all(parameter.requires_grad for parameter in module.parameters())
    freeze.freeze(module, card, freeze.FREEZES["head-only"])
    assert [r.stage for r in freeze.table(module, card) if r.trainable] == ["head"]


@pytest.mark.parametrize("kind", QUICK)
def test_losses_are_transformers_own(folders: dict[str, Path], kind: str) -> None:
    module, card = network(folders[kind])
    module.eval()  # without denoising and dropout
    images, targets = batch()
    seen = networks.losses(module, card, images, targets)
    boxes = [torch.tensor([[24.0, 24, 32, 32]]), torch.tensor([[34.0, 34, 32, 32]])]
    labels = [
        {"boxes": box / SIDE, "class_labels": torch.tensor([label])}
        for label, box in enumerate(boxes)
    ]
    theirs = module(pixel_values=networks.normalise(images, card), labels=labels)
    # Conditional DETR's weight of classes is in its configuration, but not in transformers' sum.
    forgotten = getattr(module.config, "cls_loss_coefficient", 1) - 1
    wanted = theirs.loss + forgotten * theirs.loss_dict["loss_ce"] if forgotten else theirs.loss
    torch.testing.assert_close(sum(seen.values()), wanted)
    assert {"class", "box", "giou"} <= seen.keys()


@pytest.mark.parametrize("kind", ["detr", "conditional_detr"])
def test_every_decoder_layer_has_its_losses_in_training(tmp_path: Path, kind: str) -> None:
    """They are those of the same network cut off behind that layer."""
    hub = hub_folder(tmp_path, kind, dict(enumerate(CLASSES)))
    config = json.loads((hub / "config.json").read_text())
    for name in ("dropout", "attention_dropout", "activation_dropout"):
        config[name] = 0.0
    (hub / "config.json").write_text(json.dumps(config))
    module, card = network(hub)
    both = networks.losses(module, card, *batch())
    layers = module.model.decoder.layers
    module.eval()
    for part in module.model.backbone.modules():
        part.train()  # batch norms as in training
    last = networks.losses(module, card, *batch())
    module.model.decoder.layers = layers[:1]
    first = networks.losses(module, card, *batch())
    for name, value in both.items():
        torch.testing.assert_close(value, first[name] + last[name])


@pytest.mark.parametrize("kind", QUICK)
def test_pictures_without_anything_and_ignored_boxes_are_legal(
    folders: dict[str, Path], kind: str
) -> None:
    module, card = network(folders[kind])
    images, _ = batch()
    nothing = Target(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    box = torch.tensor([[8.0, 8.0, 40.0, 40.0]])
    ignored = Target(box, torch.tensor([0]), torch.tensor([True]))
    total = sum(networks.losses(module, card, images, [nothing, ignored]).values())
    assert torch.isfinite(total)
    total.backward()
    assert all(p.grad is not None for p in module.parameters() if p.requires_grad)


@pytest.mark.parametrize("kind", ["rt_detr_v2", "detr"])
def test_a_network_that_is_broken_gives_a_loss_that_is_not_a_number(
    folders: dict[str, Path], kind: str
) -> None:
    module, card = network(folders[kind])
    with torch.no_grad():
        next(module.parameters()).fill_(float("nan"))
    seen = networks.losses(module, card, *batch())
    assert not torch.isfinite(torch.stack(list(seen.values())).sum())


PROCESSORS = {
    "rt_detr": "RTDetrImageProcessor",
    "rt_detr_v2": "RTDetrImageProcessor",
    "d_fine": "RTDetrImageProcessor",
    "detr": "DetrImageProcessor",
    "conditional_detr": "ConditionalDetrImageProcessor",
    "deformable_detr": "DeformableDetrImageProcessor",
    "yolos": "YolosImageProcessor",
}


HEADS = tuple(networks.FAMILIES["hf"].class_tensors)
# How strong random weights must be for queries to differ, and not to amplify rounding.
GAINS = {
    "rt_detr": 3.0,  # at 2 its best queries tie: torch in float64 chooses others than in float32
    "rt_detr_v2": 2.0,
    "d_fine": 2.0,
    "deformable_detr": 1.5,
    "yolos": 1.0,
    "detr": 1.5,
    "conditional_detr": 2.0,
}
BOX_GAINS = {"yolos": 1.0}


def published(folder: Path, kind: str, names: dict[int, str], seed: int = 3) -> Any:
    """A model of transformers' own, whose scores differ from query to query, as a hub folder."""
    import transformers

    torch.manual_seed(seed)
    config = transformers.AutoConfig.for_model(kind, **TINY[kind], id2label=names)
    module = transformers.AutoModelForObjectDetection.from_config(config).eval()
    with torch.no_grad():
        for name, value in module.named_parameters():
            if any(re.fullmatch(pattern, name) for pattern in HEADS):
                value.normal_(0, 0.5)
            elif value.ndim == 1:
                value.add_(torch.randn_like(value), alpha=0.1)
            elif "embeddings" in name or "token" in name:
                value.normal_()
            else:
                gain = BOX_GAINS.get(kind, 0.5) if "bbox" in name else GAINS[kind]
                value.normal_(0, gain / value[0].numel() ** 0.5)
        for name, value in module.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                value.uniform_(0.5, 1.5)
    with hf_family.quiet():
        module.save_pretrained(folder)
    return module


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Path, Any]]:
    """A folder as of the hub for a kind, and transformers' own model of it; each made once."""
    made: dict[tuple[str, int], tuple[Path, Any]] = {}

    def give(kind: str, seed: int = 3) -> tuple[Path, Any]:
        if (kind, seed) not in made:
            folder = tmp_path_factory.mktemp(kind)
            theirs = published(folder, kind, dict(enumerate(CLASSES)), seed)
            made[kind, seed] = hub_folder(folder, kind, dict(enumerate(CLASSES))), theirs
        return made[kind, seed]

    return give


@pytest.mark.slow
@pytest.mark.parametrize("kind", QUICK)
def test_boxes_are_those_of_transformers_own_post_processing(
    hub: Callable[[str], tuple[Path, Any]], kind: str
) -> None:
    """Golden: a model as transformers runs it, its image processor, one picture of 128x192."""
    import transformers

    folder, theirs = hub(kind)
    found = detector(*build_network(folder))
    assert (found.classes, found.card.licence) == (CLASSES, "apache-2.0")
    processor = getattr(transformers, PROCESSORS[kind])(
        size={"height": SIDE, "width": SIDE},
        do_normalize=kind not in {"rt_detr", "rt_detr_v2", "d_fine"},
    )
    picture = frames(1)[0].image
    ours = found.detect([Frame(0, 0.0, picture, width_px=128, height_px=192)])[0]
    with torch.inference_mode():
        inputs = processor(images=picture, return_tensors="pt")
        wanted = processor.post_process_object_detection(
            theirs(pixel_values=inputs["pixel_values"]), threshold=0.0, target_sizes=[(192, 128)]
        )[0]
    boxes = np.clip(wanted["boxes"].numpy(), 0, [128, 192, 128, 192])
    scores, labels = wanted["scores"].numpy(), wanted["labels"].numpy()
    assert np.ptp(scores) > 0.02
    assert np.ptp(boxes, axis=0).max() > 1  # px: queries say different things
    real = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(axis=1))
    assert len(real) >= 15
    rows, columns = (
        np.hstack([boxes, scores[:, None]])[real],
        np.hstack([ours.boxes_xyxy, ours.scores[:, None]]),
    )
    apart = np.abs(rows[:, None] - columns[None]).max(axis=2)
    apart[labels[real][:, None] != ours.labels[None]] = np.inf
    assert apart.min(axis=1).max() <= 1e-4
    assert len(set(apart.argmin(axis=1).tolist())) == len(real)
    if found.card.output.decoding == "scored_boxes":  # else transformers keeps the best 20 of 60
        assert len(ours) == len(real)


@pytest.mark.parametrize(
    "kind", ["rt_detr_v2", "detr", pytest.param("yolos", marks=pytest.mark.slow)]
)
def test_heads_follow_the_class_name(tmp_path: Path, kind: str) -> None:
    """The classes stand in another order, one is new, and one output never was a class."""
    published(tmp_path, kind, {0: "N/A", 1: "person", 2: "car", 3: "N/A"})
    old, card = build_network(tmp_path)
    assert card.classes == ("person", "car")
    new, changed = build_network(tmp_path, classes=("fly", "car"))
    assert changed.classes == ("fly", "car")
    assert "outputs" not in changed.architecture
    before, after = old.state_dict(), new.state_dict()
    heads = 0
    for name, value in after.items():
        if any(re.fullmatch(p, name) for p in networks.FAMILIES["hf"].class_tensors):
            heads += 1
            assert torch.equal(value[1], before[name][2]), name
            if len(value) == 3:  # nothing stays nothing
                assert torch.equal(value[2], before[name][4]), name
        else:
            assert torch.equal(value, before[name]), name
    assert heads >= 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", QUICK)
def test_a_batch_is_its_frames_one_by_one(
    hub: Callable[[str], tuple[Path, Any]], kind: str
) -> None:
    found = detector(*build_network(hub(kind)[0]), 0.05)
    for frame, one in zip(frames(3), found.detect(frames(3)), strict=True):
        alone = found.detect([frame])[0]
        assert len(alone) == len(one) > 0
        np.testing.assert_allclose(alone.scores, one.scores, atol=1e-5)
        apart = np.abs(alone.boxes_xyxy[:, None] - one.boxes_xyxy[None]).max(axis=2)
        assert apart.min(axis=1).max() < 1e-3  # equal scores may stand in another order


@pytest.mark.parametrize("kind", QUICK)
def test_stored_features_give_the_same_losses_as_pictures(
    folders: dict[str, Path], kind: str
) -> None:
    module, card = network(folders[kind])
    freeze.freeze(module, card, freeze.FREEZES["backbone"])
    images, targets = batch()
    if kind == "yolos":
        assert "vision transformer" in networks.why_not_cached(module, card)
        return
    assert networks.why_not_cached(module, card) == ""
    cuts = cut_points(module, lambda: networks.losses(module, card, images, targets))
    assert cuts == ("model.backbone",)
    outputs = record(module, cuts, networks.normalise(images, card))
    again = rebuilt(outputs, iter([leaf.float() for leaf in leaves(outputs)]))
    assert [x.dtype for x in leaves(again)] == [x.dtype for x in leaves(outputs)]
    torch.manual_seed(2)  # denoising queries are drawn
    wanted = networks.losses(module, card, images, targets)
    with replaying(module, cuts, again):
        torch.manual_seed(2)
        seen = networks.losses(module, card, torch.zeros_like(images), targets)
    assert wanted.keys() == seen.keys()
    assert all(torch.equal(seen[key], value) for key, value in wanted.items())


@pytest.mark.parametrize(
    "kind", ["rt_detr_v2", pytest.param("deformable_detr", marks=pytest.mark.slow)]
)
def test_a_checkpoint_gives_the_same_boxes(
    hub: Callable[[str], tuple[Path, Any]], tmp_path: Path, kind: str
) -> None:
    module, card = build_network(hub(kind)[0])
    path = tmp_path / "one.safetensors"
    save_checkpoint(module.state_dict(), card, path)
    read = load_detector(path, runtime="torch", device="cpu", score_threshold=0.0)
    one, two = (x.detect(frames(1))[0] for x in (detector(module, card), read))
    np.testing.assert_array_equal(one.boxes_xyxy[: len(two)], two.boxes_xyxy)
    np.testing.assert_array_equal(one.scores[: len(two)], two.scores)


# deformable_detr of a fixed input: torch's exporter makes its sampling points double precision, for
# which onnxruntime has no grid sampling; published ones follow the picture.
EXPORTED = [
    *((kind, ".onnx") for kind in KINDS if kind != "deformable_detr"),
    *(("rt_detr_v2", ending) for ending in (".xml", ".pt2")),
    ("deformable_detr", ".xml"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "ending"), EXPORTED)
def test_exports_come_with_a_certificate(
    hub: Callable[..., tuple[Path, Any]], tmp_path: Path, kind: str, ending: str
) -> None:
    """With some weights: random ones rank queries so closely that rounding may choose others."""
    for seed in range(3, 7):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tracing notes of transformers' own code
            try:
                found = export_detector(
                    hub(kind, seed)[0], tmp_path / f"one{ending}", frames=frames(2)
                )
                break
            except OutputError as error:
                differs = error
    else:
        raise differs
    assert found.passes
    assert found.num_boxes >= 20
    assert found.max_box_difference_px < 0.01
    assert (tmp_path / f"one{ending}.parity.json").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["openvino", "onnx"])
@pytest.mark.parametrize("kind", ["detr", "conditional_detr", "deformable_detr", "yolos"])
def test_one_graph_is_right_at_every_size(
    hub: Callable[[str], tuple[Path, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    runtime: str,
) -> None:
    monkeypatch.setenv("VODKIT_CACHE", str(tmp_path / "cache"))
    module, card = build_network(hub(kind)[0])
    size = replace(card.preprocessing, width_px=2 * SIDE, height_px=SIDE, resize="fit")
    own = tmp_path / "one.safetensors"
    save_checkpoint(module.state_dict(), replace(card, preprocessing=size), own)
    options: dict[str, Any] = {"device": "cpu", "score_threshold": 0.0, "max_detections": None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing notes of transformers' own code
        pair = [load_detector(own, runtime=name, **options) for name in ("torch", runtime)]
        shapes = [(SIDE, SIDE), (2 * SIDE, SIDE), (SIDE, 2 * SIDE)]
        seen = compare(*pair, [frames(1, *shape)[0] for shape in shapes])
    assert seen.num_boxes >= 30
    assert seen.within(px=0.01, score=1e-4), seen
    assert len(list((tmp_path / "cache" / runtime).glob("*.sha256"))) == 1


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".onnx", ".xml"])
def test_int8_of_a_network_whose_input_follows_the_picture(
    hub: Callable[[str], tuple[Path, Any]], tmp_path: Path, ending: str
) -> None:
    module, card = build_network(hub("detr")[0])
    size = replace(card.preprocessing, width_px=2 * SIDE, height_px=SIDE, resize="fit")
    own = tmp_path / "one.safetensors"
    save_checkpoint(module.state_dict(), replace(card, preprocessing=size), own)
    shapes = [(SIDE, SIDE), (2 * SIDE, SIDE), (SIDE, 2 * SIDE)]
    mixed = [frames(1, *shape)[0] for shape in shapes]
    same = OnData(data="none", num_videos=1, num_frames=1, ap=(0.5, 0.5), hota=None)
    path = tmp_path / f"one{ending}"
    found = export_detector(
        own, path, frames=mixed, calibrate_on=mixed, judge=lambda _one, _two: same
    )
    assert (found.precision, found.num_calibrated) == ("int8", 3)
    sizes = ("64x64", "128x64", "64x128")  # of other shapes the cuts are seen, too
    # CPUs without dot products of eight bits leave fewer of the random boxes alike.
    assert min(found.by_input[size].num_boxes for size in sizes) >= 3
    assert found.max_box_difference_px > 0.01  # really other numbers
    again = load_detector(path, score_threshold=0.0, max_detections=None).detect(mixed)
    assert [len(boxes) for boxes in again] == [TINY["detr"]["num_queries"]] * 3


def test_weights_of_a_folder_go_into_a_model_by_name(
    hub: Callable[[str], tuple[Path, Any]], tmp_path: Path
) -> None:
    own, folder = tmp_path / "own.safetensors", hub("detr")[0]
    module, card = build_network(folder)
    save_checkpoint(module.state_dict(), card, own)
    other, other_card = build_network(own, weights=folder)
    assert "weights of model.safetensors" in other_card.source
    pairs = zip(module.state_dict().values(), other.state_dict().values(), strict=True)
    assert all(torch.equal(one, two) for one, two in pairs)
    with pytest.raises(WeightsError, match=r"missing \(-\)"):
        build_network("yolos-tiny", weights=folder)


def test_random_weights_have_norms_that_learn(folders: dict[str, Path]) -> None:
    for kind in ("rt_detr_v2", "detr"):
        module, card = network(folders[kind])
        assert card.architecture["frozen_norm"] is False
        trunk = networks.stages(module, card)["stage2"]
        norms = [p for part in trunk for p in part.modules() if isinstance(p, nn.BatchNorm2d)]
        assert norms
        of_card = networks.build(find_card(folders[kind])[0])
        assert not [
            p
            for part in networks.stages(of_card, card)["stage2"]
            for p in part.modules()
            if isinstance(p, nn.BatchNorm2d)
        ]


def test_constants_of_d_fine_are_not_learnt(folders: dict[str, Path]) -> None:
    module, card = network(folders["d_fine"])
    freeze.freeze(module, card, 0)
    assert {"model.decoder.up", "model.decoder.reg_scale"} <= dict(module.named_buffers()).keys()
    assert not [n for n, _ in module.named_parameters() if n.endswith(("decoder.up", "reg_scale"))]


def test_folders_that_are_no_detector_say_why(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"without config\.json"):
        find_card(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "rt_detrv2"}))
    with pytest.raises(SettingsError, match="did you mean rt_detr_v2"):
        find_card(tmp_path)
    hub_folder(tmp_path, "detr", {0: "a"})
    with pytest.raises(WeightsError, match=r"model\.safetensors is missing"):
        build_network(tmp_path)
    card = replace(
        find_card(tmp_path)[0],
        architecture={"config": {**TINY["detr"], "model_type": "detr", "num_queries": -1}},
    )
    with pytest.raises(WeightsError, match="no network of this configuration"):
        networks.build(card)
    with pytest.raises(WeightsError, match="d_model"):
        networks.build(
            replace(card, architecture={"config": {"model_type": "detr", "d_model": "wide"}})
        )


def test_code_and_weights_of_the_hub_are_never_asked_for(tmp_path: Path) -> None:
    """A configuration that wants both builds offline (the fixture refuses every connection)."""
    hub_folder(tmp_path, "detr", {0: "a"})
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {
        "auto_map": {"AutoModelForObjectDetection": "evil.Model"},
        "use_pretrained_backbone": True,
        "use_timm_backbone": True,
        "backbone": "resnet10t",
    }
    del config["backbone_config"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    module, card = build_network(tmp_path, weights="random")
    assert "auto_map" not in card.architecture["config"]
    assert len(networks.stages(module, card)["stage4"]) == 1


def test_published_cards_have_files_of_their_own() -> None:
    cards = [make() for make in hf_cards.CARDS.values()]
    assert [card.name for card in cards] == list(hf_cards.CARDS)
    assert set(hf_cards.CARDS) <= set(MODELS)
    paths = [weights_path(card) for card in cards]
    assert len(set(paths)) == len(paths)
    assert {path.suffix for path in paths} == {".safetensors"}


def test_without_transformers_the_error_says_what_to_install(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(SettingsError, match=r"pip install vodkit\[hf\]"):
        build_network("rt-detr-v2-r18", weights="random")
    assert find_card(folders["detr"])[0].classes == CLASSES  # cards can be read without
