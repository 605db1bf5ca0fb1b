"""MODELS, one line a model: the cards of published weights, and of those that come with vodkit."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from vodkit.detect import coco, hf_cards
from vodkit.detect.base import Metric, ModelCard, Output, Preprocessing, read_card
from vodkit.detect.imagenet import LITE

_YOLOX = "https://github.com/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0"
_TORCHVISION = "https://download.pytorch.org/models"
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_VGG_MEAN, _VGG_STD = (0.48235, 0.45882, 0.40784), (1 / 255, 1 / 255, 1 / 255)
_HALF = (0.5, 0.5, 0.5)


def packaged_card(name: str) -> Path:
    """Where the card of a model lies that comes with vodkit."""
    return Path(__file__).parent / "street" / f"{name}.card.json"


def _packaged(name: str) -> ModelCard:
    """The card beside the weights that come with vodkit."""
    return read_card(packaged_card(name))


def _coco_ap(value: float) -> tuple[Metric, ...]:
    return (Metric(name="AP", value=value / 100, data="COCO val2017, as published"),)


def _yolox(size: str, side_px: int, ap: float) -> ModelCard:
    return ModelCard(
        name=f"yolox_{size}",
        family="yolox",
        classes=coco.CLASSES,
        licence="Apache-2.0",
        source="Megvii YOLOX 0.1.1rc0, trained on COCO train2017",
        preprocessing=Preprocessing(width_px=side_px, height_px=side_px, channels="bgr"),
        output=Output(decoding="scored_boxes", nms_iou=0.65),
        architecture={"size": size},
        expected=_coco_ap(ap),
        url=f"{_YOLOX}/yolox_{size}.pth",
        notes="The publisher gives no sha256.",
    )


def _torchvision(builder: str) -> ModelCard:
    end, ap, mib, preprocessing, output, norm = _TORCHVISION_MODELS[builder]
    return ModelCard(
        name=builder,
        family="torchvision",
        classes=coco.CLASSES,
        licence="BSD-3-Clause",
        source="torchvision, trained on COCO train2017",
        preprocessing=preprocessing,
        output=output,
        architecture={"builder": builder, "outputs": list(coco.outputs_91()), **norm},
        expected=_coco_ap(ap),
        sha256=end.rpartition("-")[2],
        size_bytes=round(mib * 2**20),
        url=f"{_TORCHVISION}/{builder}{end}.pth",
    )


def _lite(builder: str) -> ModelCard:
    """Faster R-CNN on EfficientNet-lite: only its backbone has weights, ImageNet's."""
    return ModelCard(
        name=builder,
        family="torchvision",
        classes=("object",),
        licence="Apache-2.0",
        source=f"{LITE[builder]}; neck and head random",
        preprocessing=Preprocessing(
            width_px=416, height_px=416, fill=(127,) * 3, mean=(127.0,) * 3, std=(128.0,) * 3
        ),
        output=_TWO_STAGE,
        architecture={"builder": builder},
        notes="Begins with ImageNet's weights of its backbone; to be trained on other classes.",
    )


def _fit(height_px: int, width_px: int) -> Preprocessing:
    """Shorter side to ``height_px``, longer at most ``width_px``; filled with the mean colour."""
    return Preprocessing(
        width_px=width_px,
        height_px=height_px,
        resize="fit",
        fill=(124, 116, 104),
        scale=1 / 255,
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
    )


def _stretch(side_px: int, mean: tuple[float, ...], std: tuple[float, ...]) -> Preprocessing:
    return Preprocessing(
        width_px=side_px, height_px=side_px, resize="stretch", scale=1 / 255, mean=mean, std=std
    )


_TWO_STAGE = Output(decoding="boxes", nms_iou=1.0)
_SSD = Output(decoding="class_scores", nms_iou=0.45)
_SSDLITE = Output(decoding="class_scores", nms_iou=0.55)
_RETINA = Output(decoding="scored_boxes", nms_iou=0.5)
_FCOS = Output(decoding="scored_boxes", nms_iou=0.6)
_FROZEN, _FROZEN_V1 = {"frozen_norm": True}, {"frozen_norm": True, "norm_eps": 0.0}
_FULL = _fit(800, 1333)
_Row = tuple[str, float, float, Preprocessing, Output, dict[str, Any]]
# builder: end of the file's name, AP, MiB, input, output, norms
_TORCHVISION_MODELS: dict[str, _Row] = {
    "ssdlite320_mobilenet_v3_large":
        ("_coco-a79551df", 21.3, 13.418, _stretch(320, _HALF, _HALF), _SSDLITE, {}),
    "ssd300_vgg16":
        ("_coco-b556d3b4", 25.1, 135.988, _stretch(300, _VGG_MEAN, _VGG_STD), _SSD, {}),
    "fasterrcnn_mobilenet_v3_large_320_fpn":
        ("-907ea3f9", 22.8, 74.239, _fit(320, 640), _TWO_STAGE, _FROZEN),
    "fasterrcnn_mobilenet_v3_large_fpn":
        ("-fb6a3cc7", 32.8, 74.239, _FULL, _TWO_STAGE, _FROZEN),
    "fasterrcnn_resnet50_fpn":
        ("_coco-258fb6c6", 37.0, 159.743, _FULL, _TWO_STAGE, _FROZEN_V1),
    "fasterrcnn_resnet50_fpn_v2":
        ("_coco-dd69338a", 46.7, 167.104, _FULL, _TWO_STAGE, {}),
    "retinanet_resnet50_fpn":
        ("_coco-eeacb38b", 36.4, 130.267, _FULL, _RETINA, _FROZEN_V1),
    "retinanet_resnet50_fpn_v2":
        ("_coco-5905b1c5", 41.5, 146.037, _FULL, _RETINA, {}),
    "fcos_resnet50_fpn":
        ("_coco-99b0c9b7", 39.2, 123.608, _FULL, _FCOS, _FROZEN),
}  # fmt: skip

PACKAGED = ("vodkit-street",)
# name: what makes its card. File names and numbers are torchvision's own (a test compares).
MODELS: dict[str, Callable[[], ModelCard]] = {
    "vodkit-street": partial(_packaged, "vodkit-street"),
    "yolox_nano": partial(_yolox, "nano", 416, 25.8),
    "yolox_tiny": partial(_yolox, "tiny", 416, 32.8),
    "yolox_s": partial(_yolox, "s", 640, 40.5),
    "yolox_m": partial(_yolox, "m", 640, 46.9),
    "yolox_l": partial(_yolox, "l", 640, 49.7),
    "yolox_x": partial(_yolox, "x", 640, 51.1),
    **{builder: partial(_torchvision, builder) for builder in _TORCHVISION_MODELS},
    "fasterrcnn_efficientnet_lite0_fpn": partial(_lite, "fasterrcnn_efficientnet_lite0_fpn"),
    "fasterrcnn_efficientnet_lite2_fpn": partial(_lite, "fasterrcnn_efficientnet_lite2_fpn"),
    **hf_cards.CARDS,
}
