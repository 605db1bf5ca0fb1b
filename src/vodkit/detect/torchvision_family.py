"""torchvision's detectors: Faster R-CNN, SSD, SSDLite, RetinaNet, FCOS, official weights and all.

torchvision counts classes in COCO's own 91 numbers, of which 0 is the background and ten are not
used. Here an output is known by its *name* (``architecture.outputs``, from torchvision's weight
cards) and a class takes the output of its name, so that nothing can be off by one.

Resizing and normalisation are taken out of the modules, since vodkit does both for all families
alike; what is left is fed with pictures of the network's input size.

Legend: B pictures, A anchors, C classes, O outputs (background and unused ones included).
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.models.detection._utils import _topk_min
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import FeaturePyramidNetwork, FrozenBatchNorm2d, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from vodkit.detect.base import ModelCard
from vodkit.detect.imagenet import LITE
from vodkit.detect.targets import Target
from vodkit.detect.torchvision_pool import ProductRoIAlign
from vodkit.detect.yolox import timm_backbone, timm_depths
from vodkit.ground.errors import WeightsError
from vodkit.ground.lookup import pick

BACKGROUND = "__background__"


BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "fasterrcnn_resnet50_fpn": detection.fasterrcnn_resnet50_fpn,
    "fasterrcnn_resnet50_fpn_v2": detection.fasterrcnn_resnet50_fpn_v2,
    "fasterrcnn_mobilenet_v3_large_fpn": detection.fasterrcnn_mobilenet_v3_large_fpn,
    "fasterrcnn_mobilenet_v3_large_320_fpn": detection.fasterrcnn_mobilenet_v3_large_320_fpn,
    "ssd300_vgg16": detection.ssd300_vgg16,
    "ssdlite320_mobilenet_v3_large": detection.ssdlite320_mobilenet_v3_large,
    "retinanet_resnet50_fpn": detection.retinanet_resnet50_fpn,
    "retinanet_resnet50_fpn_v2": detection.retinanet_resnet50_fpn_v2,
    "fcos_resnet50_fpn": detection.fcos_resnet50_fpn,
}
CLASS_TENSORS = {
    r"roi_heads\.box_predictor\.(cls_score|bbox_pred)\.(weight|bias)": "outer",
    r"head\.classification_head\.cls_logits\.(weight|bias)": "inner",
    r"head\.classification_head\.module_list\.\d+\.(1\.)?(weight|bias)": "inner",
}
_MOBILENET_ENDS = (2, 4, 7, 13)  # torchvision's MobileNetV3-large: first block at strides 4 to 32


def _lite_rcnn(backbone: str, num_classes: int) -> nn.Module:
    """Faster R-CNN on strides 8, 16 and 32 of a timm backbone, with a level at stride 64.

    As torchvision builds its own, with anchors that begin at 32 px.
    """
    body, channels = timm_backbone(backbone)
    levels = ("0", "1", "2")
    return detection.FasterRCNN(
        _Pyramid(body, channels, levels),
        num_classes,
        rpn_anchor_generator=AnchorGenerator(
            ((32,), (64,), (128,), (256,)), ((0.5, 1.0, 2.0),) * 4
        ),
        box_roi_pool=MultiScaleRoIAlign(list(levels), output_size=7, sampling_ratio=2),
        box_score_thresh=0.01,
    )


class _Pyramid(nn.Module):
    """Maps of a timm backbone through a feature pyramid, named as torchvision's."""

    out_channels = 256

    def __init__(self, body: nn.Module, channels: list[int], levels: Sequence[str]) -> None:
        super().__init__()
        self.body = body
        self.fpn = FeaturePyramidNetwork(
            channels, self.out_channels, extra_blocks=LastLevelMaxPool()
        )
        self._levels = levels

    def forward(self, x_B3HW: Tensor) -> dict[str, Tensor]:
        """Maps by level, the coarsest as ``pool``."""
        maps = zip(self._levels, self.body(x_B3HW), strict=True)
        found: dict[str, Tensor] = self.fpn(OrderedDict(maps))
        return found


class _AsItIs(nn.Module):
    """In place of torchvision's resizing and normalising transform."""

    def forward(
        self, images: list[Tensor], targets: list[dict[str, Tensor]] | None = None
    ) -> tuple[ImageList, list[dict[str, Tensor]] | None]:
        """The pictures, all of one size, as a batch."""
        return _image_list(torch.stack(images)), targets

    def postprocess(
        self, result: list[dict[str, Tensor]], _sizes: Any, _original_sizes: Any
    ) -> list[dict[str, Tensor]]:
        """Boxes stay in pixels of the input."""
        return result


def build(card: ModelCard) -> nn.Module:
    """From ``architecture``: ``builder``, ``outputs``, ``frozen_norm`` and ``norm_eps``."""
    name = str(card.architecture.get("builder"))
    module: Any = _fresh(name, len(outputs(card)))
    module.transform = _AsItIs()
    if hasattr(module, "roi_heads"):
        pool = module.roi_heads.box_roi_pool
        words = (pool.featmap_names, pool.output_size, pool.sampling_ratio)
        module.roi_heads.box_roi_pool = ProductRoIAlign(*words)
    if card.architecture.get("frozen_norm", False):
        _freeze_norms(module, card.architecture.get("norm_eps"))
    return module


def timm_part(module: nn.Module, card: ModelCard) -> tuple[str, nn.Module] | None:
    """Timm's name of the backbone, and the backbone; None of torchvision's own."""
    whole: Any = module
    name = LITE.get(str(card.architecture.get("builder")))
    return None if name is None else (name, whole.backbone.body)


def _fresh(name: str, num_outputs: int) -> nn.Module:
    if name in LITE:
        return _lite_rcnn(LITE[name], num_outputs)
    maker = pick(BUILDERS, name, "torchvision model")
    return maker(weights=None, weights_backbone=None, num_classes=num_outputs)


def outputs(card: ModelCard) -> tuple[str, ...]:
    """Names of the class outputs; without official weights: the background and the classes."""
    names = tuple(card.architecture.get("outputs", (BACKGROUND, *card.classes)))
    lost = [name for name in card.classes if name not in names]
    if lost:
        raise WeightsError(f"card of {card.name}: architecture.outputs lacks the classes {lost}")
    return names


def losses(
    module: nn.Module, card: ModelCard, images_B3HW: Tensor, targets: Sequence[Target]
) -> dict[str, Tensor]:
    """The losses torchvision computes, by its names; ignored regions are left out of the truth."""
    columns = _columns(card).to(images_B3HW.device)
    wanted = []
    for target in targets:
        boxes, labels = target.kept()
        real = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)  # torchvision refuses empty boxes
        wanted.append({"boxes": boxes[real].float(), "labels": columns[labels[real]]})
    found: dict[str, Tensor] = module(list(images_B3HW), wanted)
    return found


def limit_proposals(module: nn.Module, count: int) -> bool:
    """Let the second stage learn from so many boxes of a picture; whether there is one.

    It works on each of them by itself, so that it costs in proportion; a quarter of them are of
    objects, as published.
    """
    if not hasattr(module, "roi_heads"):
        return False
    heads: Any = module.roi_heads
    heads.fg_bg_sampler.batch_size_per_image = count
    return True


def why_not_recorded(card: ModelCard) -> str:
    """Why a CUDA graph cannot be recorded: outputs of two-stage networks vary in length."""
    two_stage = str(card.architecture.get("builder")).startswith("fasterrcnn")
    return "outputs of a two-stage network vary in length" if two_stage else ""


def deployed(module: nn.Module, card: ModelCard) -> nn.Module:
    """The graph for inference that goes with the network's kind."""
    if isinstance(module, detection.ssd.SSD):
        return _Scored(module, card)
    if isinstance(module, detection.RetinaNet | detection.FCOS):
        return _TopScored(module, card)
    return _TwoStage(module, card)


class _Scored(nn.Module):
    """SSD and SSDLite: boxes (B, A, 4) in input pixels and scores (B, A, C)."""

    columns: Tensor

    def __init__(self, module: Any, card: ModelCard) -> None:
        super().__init__()
        self.module = module
        self.register_buffer("columns", _columns(card), persistent=False)
        generator = module.anchor_generator
        for level, pairs in enumerate(generator._wh_pairs):  # noqa: SLF001 - as it is trained with
            shapes = pairs.clamp(min=0, max=1) if generator.clip else pairs
            self.register_buffer(f"shapes{level}", shapes * _anchor_scale(card), persistent=False)

    def forward(self, x_B3HW: Tensor) -> tuple[Tensor, Tensor]:
        """After SSD.postprocess_detections, up to where scores are cut."""
        features = _features(self.module, x_B3HW)
        found = self.module.head(features)
        scores = found["cls_logits"].softmax(dim=2)[:, :, self.columns]
        anchors = self._anchors(features, x_B3HW)
        return _decode(self.module, found["bbox_regression"], anchors, x_B3HW), scores

    def _anchors(self, features: list[Tensor], x_B3HW: Tensor) -> Tensor:
        """Default boxes (A, 4), after torchvision's generator, made on the network's device.

        torchvision makes them on the CPU, which a CUDA graph cannot record.
        """
        height, width = x_B3HW.shape[2:]
        steps = self.module.anchor_generator.steps
        levels = []
        for level, one in enumerate(features):
            rows, columns = one.shape[2:]
            across, down = (width, height) if steps else (columns, rows)
            step = steps[level] if steps else 1
            x = (torch.arange(columns, device=one.device) + 0.5) / (across / step)
            y = (torch.arange(rows, device=one.device) + 0.5) / (down / step)
            y, x = torch.meshgrid(y, x, indexing="ij")
            shapes: Tensor = getattr(self, f"shapes{level}")
            places = torch.stack([x, y] * len(shapes), dim=2).reshape(-1, 2)
            half = 0.5 * shapes.repeat(rows * columns, 1)
            levels.append(torch.cat([places - half, places + half], dim=1))
        x1, y1, x2, y2 = torch.cat(levels).unbind(1)
        return torch.stack([x1 * width, y1 * height, x2 * width, y2 * height], dim=1)


class _TopScored(nn.Module):
    """RetinaNet and FCOS: the best 1000 of every level (B, A, 6), as torchvision keeps."""

    columns: Tensor

    def __init__(self, module: Any, card: ModelCard) -> None:
        super().__init__()
        self.module = module
        self.register_buffer("columns", _columns(card), persistent=False)

    def forward(self, x_B3HW: Tensor) -> Tensor:
        """x1, y1, x2, y2, score, label; after RetinaNet.postprocess_detections."""
        features = _features(self.module, x_B3HW)
        found = self.module.head(features)
        anchors = self.module.anchor_generator(_image_list(x_B3HW), features)[0]
        scores = found["cls_logits"].sigmoid()[:, :, self.columns]
        if "bbox_ctrness" in found:
            scores = (scores * found["bbox_ctrness"].sigmoid()).sqrt()
        boxes = _decode(self.module, found["bbox_regression"], anchors, x_B3HW)
        cells = [f.shape[2] * f.shape[3] for f in features]
        per_cell = boxes.shape[1] // sum(cells)
        levels = [n * per_cell for n in cells]
        pairs = zip(torch.split(boxes, levels, 1), torch.split(scores, levels, 1), strict=True)
        return torch.cat([self._best(*pair) for pair in pairs], dim=1)

    def _best(self, boxes_BA4: Tensor, scores_BAC: Tensor) -> Tensor:
        num_classes = scores_BAC.shape[2]
        flat = scores_BAC.flatten(1)
        best, where = flat.topk(_at_most(self.module.topk_candidates, flat), dim=1)
        label = where % num_classes
        row = torch.div(where, num_classes, rounding_mode="floor")[..., None].expand(-1, -1, 4)
        numbers = [best[..., None], label[..., None].to(best.dtype)]
        return torch.cat([boxes_BA4.gather(1, row), *numbers], dim=2)


class _TwoStage(nn.Module):
    """Faster R-CNN, one picture at a time: boxes (N, 4) in input pixels, scores (N,), labels (N,).

    Suppression is inside; torchvision gives at most 100 boxes of at least 0.05.
    """

    known: Tensor

    def __init__(self, module: Any, card: ModelCard) -> None:
        super().__init__()
        self.module = module
        known = torch.full((len(outputs(card)),), -1)
        known[_columns(card)] = torch.arange(len(card.classes))
        self.register_buffer("known", known, persistent=False)

    def forward(self, x_1x3HW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes of outputs that are no class of ours are left out."""
        images = _image_list(x_1x3HW)
        features = self.module.backbone(x_1x3HW)
        proposals, _ = self.module.rpn(images, features, None)
        found, _ = self.module.roi_heads(features, proposals, images.image_sizes, None)
        labels = self.known[found[0]["labels"]]
        keep = labels >= 0
        return found[0]["boxes"][keep], found[0]["scores"][keep], labels[keep]


def _anchor_scale(card: ModelCard) -> Tensor:
    """What default boxes, which are shares of the input, are multiplied by (2,).

    At another input size than they were learnt at (``architecture.anchor_px``), they keep their
    pixels.
    """
    size = card.preprocessing
    width, height = card.architecture.get("anchor_px", (size.width_px, size.height_px))
    return torch.tensor([width / size.width_px, height / size.height_px])


def _columns(card: ModelCard) -> Tensor:
    """For each class the number of its output (C,)."""
    names = outputs(card)
    return torch.tensor([names.index(name) for name in card.classes])


def _at_most(count: int, rows_BN: Tensor) -> int | torch.SymInt:
    """``count``, or N where that is less, also in a graph that is made for any size."""
    size: Any = rows_BN.shape[1]
    traced = isinstance(size, Tensor)  # by torch.jit; torch.export has numbers of its own
    return _topk_min(rows_BN, count, 1) if traced else torch.sym_min(count, size)


def _image_list(x_B3HW: Tensor) -> ImageList:
    height, width = x_B3HW.shape[2:]  # not as int: a traced graph would keep this very size
    return ImageList(x_B3HW, [(height, width)] * x_B3HW.shape[0])


def _features(module: Any, x_B3HW: Tensor) -> list[Tensor]:
    features = module.backbone(x_B3HW)
    assert isinstance(features, OrderedDict)
    return list(features.values())


def _decode(module: Any, codes_BA4: Tensor, anchors_A4: Tensor, x_B3HW: Tensor) -> Tensor:
    """Boxes (B, A, 4) in float32, clipped to the input."""
    codes_BA4, anchors_A4 = codes_BA4.float(), anchors_A4.float()
    if isinstance(module, detection.FCOS):
        pictures, count = codes_BA4.shape[:2]
        repeated = anchors_A4.repeat(pictures, 1)
        boxes = module.box_coder.decode(codes_BA4.reshape(-1, 4), repeated)
        boxes = boxes.reshape(pictures, count, 4)
    else:
        boxes = _offset(module.box_coder, codes_BA4, anchors_A4)
    height, width = x_B3HW.shape[2:]
    x, y = boxes[..., 0::2].clamp(0, width), boxes[..., 1::2].clamp(0, height)
    return torch.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], dim=2)


def _offset(coder: Any, codes_BA4: Tensor, anchors_A4: Tensor) -> Tensor:
    """Anchors moved and scaled, as ``BoxCoder.decode_single``, without its copies from the CPU."""
    sizes_A2 = anchors_A4[:, 2:] - anchors_A4[:, :2]
    centres_A2 = anchors_A4[:, :2] + 0.5 * sizes_A2
    x, y, w, h = (
        code / scale for code, scale in zip(codes_BA4.unbind(2), coder.weights, strict=True)
    )
    most = coder.bbox_xform_clip
    centres_BA2 = torch.stack([x, y], dim=2) * sizes_A2 + centres_A2
    half = 0.5 * (torch.stack([w.clamp(max=most), h.clamp(max=most)], dim=2).exp() * sizes_A2)
    return torch.cat([centres_BA2 - half, centres_BA2 + half], dim=2)


def _freeze_norms(module: nn.Module, eps: float | None) -> None:
    """Fixed statistics in place of every batch norm, as torchvision's trained v1 models have."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            frozen = FrozenBatchNorm2d(child.num_features, child.eps if eps is None else eps)
            setattr(module, name, frozen)
        else:
            _freeze_norms(child, eps)


def stages(module: nn.Module) -> dict[str, list[nn.Module]]:
    """Modules by depth; for VGG, which has no stem, every stage is at half its usual stride."""
    whole: Any = module
    backbone = whole.backbone
    if hasattr(backbone, "fpn"):
        lite = isinstance(backbone, _Pyramid)
        trunk = timm_depths(backbone.body) if lite else _trunk(backbone.body)
        neck = [backbone.fpn]
        rcnn = hasattr(whole, "roi_heads")
        head = [whole.rpn, whole.roi_heads] if rcnn else [whole.head]
    else:
        features = backbone.features
        vgg = not isinstance(backbone, detection.ssdlite.SSDLiteFeatureExtractorMobileNet)
        trunk = _vgg_trunk(features) if vgg else _cut([*features[0], *features[1]])
        neck, head = [backbone.extra], [whole.head]
    names = ("stem", "stage1", "stage2", "stage3", "stage4")
    return {**dict(zip(names, trunk, strict=True)), "neck": neck, "head": head}


def _trunk(body: nn.Module) -> list[list[nn.Module]]:
    children = dict(body.named_children())
    if "layer1" not in children:
        return _cut(list(children.values()))
    layers = [f"layer{i}" for i in (1, 2, 3, 4)]
    stem = [child for name, child in children.items() if name not in layers]
    return [stem, *([children[name]] for name in layers)]


def _cut(blocks: list[nn.Module]) -> list[list[nn.Module]]:
    """MobileNetV3-large's blocks by the stride they work at: 2, 4, 8, 16, 32."""
    ends = (0, *_MOBILENET_ENDS, len(blocks))
    return [blocks[a:b] for a, b in pairwise(ends)]


def _vgg_trunk(features: nn.Module) -> list[list[nn.Module]]:
    groups: list[list[nn.Module]] = [[]]
    for layer in features.children():
        if isinstance(layer, nn.MaxPool2d):
            groups.append([])
        groups[-1].append(layer)
    return [*groups, *([[]] * (5 - len(groups)))]
