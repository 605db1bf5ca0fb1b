"""Cards of Hugging Face detectors: the published ones, and any that lies in a folder.

Configurations are those of the public conversion scripts of ``transformers``; what is not named
here has the default of its configuration class. Nothing here imports torch or transformers.

A folder is what ``save_pretrained`` writes and what the hub hands out: ``config.json``,
``model.safetensors`` and, for its picture size, ``preprocessor_config.json``.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from vodkit.detect import coco
from vodkit.detect.base import Metric, ModelCard, Output, Preprocessing
from vodkit.detect.weights import HUB_NAMES
from vodkit.ground.errors import FormatError, WeightsError
from vodkit.ground.lookup import pick

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_NOBODY = "N/A"  # what hub configurations call outputs that stand for no class

_SIGMOID = Output(decoding="class_scores", nms_iou=1.0)  # every query may be of several classes
_SOFTMAX = Output(decoding="scored_boxes", nms_iou=1.0)  # or of one, or of none
OUTPUTS: dict[str, Output] = {
    "rt_detr": _SIGMOID,
    "rt_detr_v2": _SIGMOID,
    "d_fine": _SIGMOID,
    "deformable_detr": _SIGMOID,
    "conditional_detr": _SIGMOID,
    "detr": _SOFTMAX,
    "yolos": _SOFTMAX,
}
"""model types of ``transformers`` that vodkit can train and run, and what their outputs mean"""

# The original recipes train with losses after every decoder layer; published files forget it. For
# DETR and Conditional DETR, in transformers, it would change the boxes themselves (layers would be
# fed with normalised states): ``hf_family.losses`` adds them itself.
_AUXILIARY = ("deformable_detr",)
# A class that nobody has learnt yet begins improbable, as in focal loss's own recipe.
_PRIOR = ("rt_detr", "rt_detr_v2", "d_fine")


def _square(side_px: int) -> Preprocessing:
    """RT-DETR's input: 0..1, without mean and deviation."""
    return Preprocessing(width_px=side_px, height_px=side_px, resize="stretch", scale=1 / 255)


def _fit(shortest_px: int, longest_px: int) -> Preprocessing:
    """DETR's input: shorter side, longest side; ImageNet's mean and deviation."""
    return Preprocessing(
        width_px=longest_px,
        height_px=shortest_px,
        resize="fit",
        fill=(124, 116, 104),
        scale=1 / 255,
        mean=_MEAN,
        std=_STD,
    )


def _published(
    name: str,
    repository: str,
    config: Mapping[str, Any],
    ap: float,
    *,
    preprocessing: Preprocessing,
    outputs: tuple[str, ...] = coco.CLASSES,
) -> ModelCard:
    return ModelCard(
        name=name,
        family="hf",
        classes=coco.CLASSES,
        licence="Apache-2.0",
        source=f"{repository} on the Hugging Face hub, trained on COCO train2017",
        preprocessing=preprocessing,
        output=OUTPUTS[config["model_type"]],
        architecture=_architecture(config, outputs),
        expected=(Metric(name="AP", value=ap / 100, data="COCO val2017, as published"),),
        url=f"https://huggingface.co/{repository}/resolve/main/{HUB_NAMES[0]}",
        notes="The sha256 is not known; that of the file fetched first is kept and compared.",
    )


def _architecture(config: Mapping[str, Any], outputs: tuple[str, ...]) -> dict[str, Any]:
    kind = config["model_type"]
    extra: dict[str, Any] = {}
    if kind in _AUXILIARY:
        extra["auxiliary_loss"] = True
    if kind in _PRIOR:
        extra["initializer_bias_prior_prob"] = 0.01
    frozen = kind != "yolos" and bool(config.get("freeze_backbone_batch_norms", True))
    return {
        "config": {**config, **extra},
        "outputs": list(outputs),
        "frozen_norm": frozen,
    }


def _rt_detr(version: str, backbone: str, repository: str, ap: float) -> ModelCard:
    basic = {"layer_type": "basic", "hidden_sizes": [64, 128, 256, 512]}
    small = {"encoder_in_channels": [128, 256, 512], "hidden_expansion": 0.5}
    large = {
        "encoder_ffn_dim": 2048,
        "encoder_hidden_dim": 384,
        "decoder_in_channels": [384, 384, 384],
    }
    backbones: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "r18": ({**basic, "depths": [2, 2, 2, 2]}, {**small, "decoder_layers": 3}),
        "r34": ({**basic, "depths": [3, 4, 6, 3]}, {**small, "decoder_layers": 4}),
        "r50": ({}, {}),
        "r101": ({"depths": [3, 4, 23, 3]}, large),
    }
    trunk, rest = backbones[backbone]
    kind = "rt_detr_v2" if version == "-v2" else "rt_detr"
    network = {"model_type": "rt_detr_resnet", "out_indices": [2, 3, 4], **trunk}
    return _published(
        f"rt-detr{version}-{backbone}",
        repository,
        {"model_type": kind, "backbone_config": network, **rest},
        ap,
        preprocessing=_square(640),
    )


_SMALL_HGNET: dict[str, Any] = {
    "hidden_sizes": [128, 256, 512, 1024],
    "stem_channels": [3, 16, 16],
    "stage_in_channels": [16, 64, 256, 512],
    "stage_mid_channels": [16, 32, 64, 128],
    "stage_out_channels": [64, 256, 512, 1024],
    "stage_num_blocks": [1, 1, 2, 1],
    "stage_numb_of_layers": [3, 3, 3, 3],
    "use_learnable_affine_block": True,
}
_MEDIUM_HGNET: dict[str, Any] = {
    "hidden_sizes": [192, 384, 768, 1536],
    "stem_channels": [3, 24, 32],
    "stage_in_channels": [32, 96, 384, 768],
    "stage_mid_channels": [32, 64, 128, 256],
    "stage_out_channels": [96, 384, 768, 1536],
    "stage_numb_of_layers": [4, 4, 4, 4],
    "use_learnable_affine_block": True,
}
_XLARGE_HGNET: dict[str, Any] = {
    "stem_channels": [3, 32, 64],
    "stage_in_channels": [64, 128, 512, 1024],
    "stage_mid_channels": [64, 128, 256, 512],
    "stage_num_blocks": [1, 2, 5, 2],
}
_THREE_LEVELS = {"decoder_n_points": [3, 6, 3]}
# size: the backbone, and the rest
_D_FINE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "n": (
        {**_SMALL_HGNET, "out_indices": [3, 4]},
        {
            "num_feature_levels": 2,
            "feat_strides": [16, 32],
            "encoder_in_channels": [512, 1024],
            "encode_proj_layers": [1],
            "encoder_hidden_dim": 128,
            "encoder_ffn_dim": 512,
            "d_model": 128,
            "decoder_in_channels": [128, 128],
            "decoder_ffn_dim": 512,
            "decoder_n_points": [6, 6],
            "decoder_layers": 3,
            "hidden_expansion": 0.34,
            "depth_mult": 0.5,
        },
    ),
    "s": (
        _SMALL_HGNET,
        {
            **_THREE_LEVELS,
            "encoder_in_channels": [256, 512, 1024],
            "decoder_layers": 3,
            "hidden_expansion": 0.5,
            "depth_mult": 0.34,
        },
    ),
    "m": (
        _MEDIUM_HGNET,
        {
            **_THREE_LEVELS,
            "encoder_in_channels": [384, 768, 1536],
            "decoder_layers": 4,
            "depth_mult": 0.67,
        },
    ),
    "l": ({}, _THREE_LEVELS),
    "x": (
        _XLARGE_HGNET,
        {
            **_THREE_LEVELS,
            "encoder_hidden_dim": 384,
            "encoder_ffn_dim": 2048,
            "decoder_in_channels": [384, 384, 384],
        },
    ),
}


def _d_fine(size: str, repository: str, ap: float) -> ModelCard:
    trunk, rest = _D_FINE[size]
    network = {"model_type": "hgnet_v2", "out_indices": [2, 3, 4], **trunk}
    return _published(
        f"d-fine-{size}",
        repository,
        {"model_type": "d_fine", "backbone_config": network, **rest},
        ap,
        preprocessing=_square(640),
    )


def _resnet50(levels: list[int]) -> dict[str, Any]:
    return {
        "model_type": "timm_backbone",
        "backbone": "resnet50",
        "features_only": True,
        "use_pretrained_backbone": False,
        "out_indices": levels,
    }


def _detr(name: str, repository: str, kind: str, ap: float) -> ModelCard:
    levels = [2, 3, 4] if kind == "deformable_detr" else [1, 2, 3, 4]
    return _published(
        name,
        repository,
        {"model_type": kind, "backbone_config": _resnet50(levels)},
        ap,
        preprocessing=_fit(800, 1333),
        outputs=coco.outputs_91(),
    )


def _yolos(size: str, config: Mapping[str, Any], ap: float, shortest_px: int) -> ModelCard:
    return _published(
        f"yolos-{size}",
        f"hustvl/yolos-{size}",
        {"model_type": "yolos", **config},
        ap,
        preprocessing=_fit(shortest_px, round(shortest_px * 5 / 3)),
        outputs=coco.outputs_91(),
    )


_YOLOS_TINY = {
    "hidden_size": 192,
    "intermediate_size": 768,
    "num_attention_heads": 3,
    "image_size": [800, 1333],
    "use_mid_position_embeddings": False,
}
_YOLOS_SMALL = {"hidden_size": 384, "intermediate_size": 1536, "num_attention_heads": 6}
# name: what makes its card
CARDS: dict[str, Callable[[], ModelCard]] = {
    "rt-detr-v2-r18": partial(_rt_detr, "-v2", "r18", "PekingU/rtdetr_v2_r18vd", 47.9),
    "rt-detr-v2-r34": partial(_rt_detr, "-v2", "r34", "PekingU/rtdetr_v2_r34vd", 49.9),
    "rt-detr-v2-r50": partial(_rt_detr, "-v2", "r50", "PekingU/rtdetr_v2_r50vd", 53.4),
    "rt-detr-v2-r101": partial(_rt_detr, "-v2", "r101", "PekingU/rtdetr_v2_r101vd", 54.3),
    "rt-detr-r18": partial(_rt_detr, "", "r18", "PekingU/rtdetr_r18vd", 46.5),
    "rt-detr-r50": partial(_rt_detr, "", "r50", "PekingU/rtdetr_r50vd", 53.1),
    "d-fine-n": partial(_d_fine, "n", "ustc-community/dfine-nano-coco", 42.8),
    "d-fine-s": partial(_d_fine, "s", "ustc-community/dfine-small-coco", 48.5),
    "d-fine-m": partial(_d_fine, "m", "ustc-community/dfine-medium-coco", 52.3),
    "d-fine-l": partial(_d_fine, "l", "ustc-community/dfine-large-coco", 54.0),
    "d-fine-x": partial(_d_fine, "x", "ustc-community/dfine-xlarge-coco", 55.8),
    "detr-resnet-50": partial(_detr, "detr-resnet-50", "facebook/detr-resnet-50", "detr", 42.0),
    "conditional-detr-resnet-50": partial(
        _detr,
        "conditional-detr-resnet-50",
        "microsoft/conditional-detr-resnet-50",
        "conditional_detr",
        40.9,
    ),
    "deformable-detr": partial(
        _detr, "deformable-detr", "SenseTime/deformable-detr", "deformable_detr", 44.5
    ),
    "yolos-tiny": partial(_yolos, "tiny", _YOLOS_TINY, 28.7, 512),
    "yolos-small": partial(_yolos, "small", _YOLOS_SMALL, 36.1, 512),
}


def weights_in(folder: Path) -> Path:
    """The weight file of a hub folder, or where it would lie."""
    paths = [folder / name for name in HUB_NAMES]
    return next((path for path in paths if path.is_file()), paths[0])


def card_of_folder(folder: Path) -> ModelCard:
    """The card of the detector in a hub folder, from its ``config.json``.

    WeightsError where there is none, or one of a model type that is not in ``OUTPUTS``.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise WeightsError(f"{folder} is a folder without {CONFIG}; allowed: a Hugging Face model")
    config = _read(path)
    kind = str(config.get("model_type"))
    output = pick(OUTPUTS, kind, f"model_type in {path}")
    outputs = _outputs(config)
    return ModelCard(
        name=folder.name,
        family="hf",
        classes=tuple(dict.fromkeys(name for name in outputs if name != _NOBODY)),
        licence=_licence(folder),
        source=f"the Hugging Face model in {folder.name}",
        preprocessing=_preprocessing(folder, kind),
        output=output,
        architecture=_architecture(_network_only(config), outputs),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FormatError(f"cannot read: {error}", path=path) from error
    if not isinstance(content, dict):
        raise FormatError("not a JSON object", path=path)
    return content


def _outputs(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the class outputs, by number."""
    names = config.get("id2label")
    if not isinstance(names, Mapping) or not names:
        return tuple(f"LABEL_{i}" for i in range(int(config.get("num_labels", 2))))
    by_number = {int(number): str(name) for number, name in names.items()}
    return tuple(by_number.get(number, _NOBODY) for number in range(max(by_number) + 1))


# Not of the network itself: names of classes, where it comes from, and code of others.
_NOT_NETWORK = (
    "_name_or_path", "architectures", "auto_map", "dtype", "id2label", "label2id", "num_labels",
    "torch_dtype", "transformers_version",
)  # fmt: skip


def _network_only(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in _NOT_NETWORK}


def _licence(folder: Path) -> str:
    """What the model's page (``README.md``) says at its head."""
    page = folder / "README.md"
    if page.is_file():
        for line in page.read_text(encoding="utf-8", errors="replace").splitlines()[:100]:
            if line.startswith("license:"):
                return line.partition(":")[2].strip().strip("\"'")
    return "unknown"


def _preprocessing(folder: Path, kind: str) -> Preprocessing:
    """From ``preprocessor_config.json``; without one, as the model type is published."""
    path = folder / PREPROCESSOR
    softly = kind in {"rt_detr", "rt_detr_v2", "d_fine"}
    if not path.is_file():
        return _square(640) if softly else _fit(800, 1333)
    found = _read(path)
    size = found.get("size") or {}
    if isinstance(size, int):
        size = {"shortest_edge": size}
    if "height" in size:
        width, height, resize = int(size["width"]), int(size["height"]), "stretch"
    else:
        height = int(size.get("shortest_edge", 800))
        width = int(size.get("longest_edge") or found.get("max_size") or 1333)
        resize = "fit"
    normalised = bool(found.get("do_normalize", not softly))
    rescaled = bool(found.get("do_rescale", True))
    return Preprocessing(
        width_px=width,
        height_px=height,
        resize=resize,
        fill=(124, 116, 104) if resize == "fit" else (114, 114, 114),
        scale=float(found.get("rescale_factor", 1 / 255)) if rescaled else 1.0,
        mean=tuple(found.get("image_mean", _MEAN)) if normalised else (0.0, 0.0, 0.0),
        std=tuple(found.get("image_std", _STD)) if normalised else (1.0, 1.0, 1.0),
    )
