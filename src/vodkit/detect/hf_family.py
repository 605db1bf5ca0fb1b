"""Hugging Face ``transformers`` detectors: RT-DETR (v1, v2), D-FINE, DETR and its relatives.

The networks and their losses are those of ``transformers``, imported when first used (extra
``hf``). ``architecture.config`` of a card is the network's configuration; nothing is ever taken
from the hub by ``transformers`` itself, and code that comes with a model is never run.

Legend: B pictures, Q object queries, O class outputs, C classes.
"""

import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from vodkit.detect.base import ModelCard
from vodkit.detect.hf_cards import OUTPUTS
from vodkit.detect.targets import Target
from vodkit.detect.yolox import timm_depths
from vodkit.ground.errors import WeightsError, needs
from vodkit.ground.lookup import pick

# Rows of these are outputs; some have one more, for what is nothing (or for padding).
CLASS_TENSORS = {
    r"(model\.decoder\.)?class_embed\.\d+\.(weight|bias)": "rows",
    r"model\.enc_score_head\.(weight|bias)": "rows",
    r"model\.denoising_class_embed\.weight": "rows",
    r"class_labels_classifier\.(layers\.2\.)?(weight|bias)": "rows",
}
# Their configuration says whether norms of the backbone are fixed; in DETR's they always are.
_CHOOSERS = ("rt_detr", "rt_detr_v2", "d_fine")
# Get losses after every decoder layer from here.
_OWN_AUXILIARY = ("detr", "conditional_detr")
_STAGES = ("stem", "stage1", "stage2", "stage3", "stage4")
_NECKS = ("encoder_input_proj", "input_projection", "input_proj", "position_embedding", "encoder")
# How loss names of transformers begin, and what they are called here.
_LOSSES = {
    "loss_vfl": "class", "loss_ce": "class", "loss_focal": "class", "loss_bce": "class",
    "loss_bbox": "box", "loss_giou": "giou", "loss_fgl": "fine", "loss_ddf": "distil",
}  # fmt: skip


def build(card: ModelCard) -> nn.Module:
    """From ``architecture``: ``config``, ``outputs`` and ``frozen_norm``; random weights."""
    config = _config(card)
    module = _made(config)
    if hasattr(module, "model"):
        backbone = module.model.backbone
        if not card.architecture.get("frozen_norm", False):
            _thaw_norms(backbone)
        # Parameters that are not to be learnt (of D-FINE) as buffers of the same name
        for name, value in list(module.model.decoder.named_parameters(recurse=False)):
            if not value.requires_grad:
                delattr(module.model.decoder, name)
                module.model.decoder.register_buffer(name, value.detach())
        if config.model_type == "deformable_detr":
            for part in (module.model.encoder, module.model.decoder):
                part.register_forward_pre_hook(_sizes_of_maps, with_kwargs=True)
        module.model.backbone = Trunk(backbone.model)
    module.requires_grad_(True)  # noqa: FBT003 - freezing is the caller's
    # Second names of tensors: one tensor is saved once
    first: dict[int, str] = {}
    state = module.state_dict(keep_vars=True)
    aliases = frozenset(
        name for name, value in state.items() if first.setdefault(id(value), name) != name
    )
    module.register_state_dict_post_hook(partial(_without, aliases))
    module.register_load_state_dict_post_hook(partial(_not_missing, aliases))
    return module.train()


def outputs(card: ModelCard) -> tuple[str, ...]:
    """Names of the class outputs; without others, the classes themselves."""
    names = tuple(card.architecture.get("outputs", card.classes))
    lost = [name for name in card.classes if name not in names]
    if lost:
        raise WeightsError(f"card of {card.name}: architecture.outputs lacks the classes {lost}")
    return names


def losses(
    module: nn.Module, card: ModelCard, x_B3HW: Tensor, targets: Sequence[Target]
) -> dict[str, Tensor]:
    """``transformers``' own losses, weighted, over all decoder layers; ignored boxes are left out.

    Terms of one kind are added up: ``class``, ``box`` (L1), ``giou``, and of D-FINE ``fine`` and
    ``distil``.
    """
    network: Any = module
    labels = _labels(card, x_B3HW, targets)
    try:
        with _layers_before_the_last(network) as states:
            found = network(pixel_values=x_B3HW, labels=labels)
        terms = [found.loss_dict, *(_loss_of(network, state, labels) for state in states)]
    except ValueError:
        # Boxes that are not a number cannot be matched; the loop wants to see it in the loss.
        if bool(torch.isfinite(network(pixel_values=x_B3HW).pred_boxes).all()):
            raise
        return {"box": x_B3HW.new_tensor(float("nan"))}
    weights = _weights(network.config)
    total: dict[str, Tensor] = {}
    for name, value in (pair for of_layer in terms for pair in of_layer.items()):
        base = re.sub(r"(_aux|_dn)?_\d+$", "", name)
        if base in _LOSSES:
            key = _LOSSES[base]
            total[key] = total.get(key, x_B3HW.new_zeros(())) + value * weights.get(base, 1.0)
    known = getattr(network.base_model, "denoising_class_embed", None)
    if known is not None:  # without any truth it has no part in the loss, but must have a gradient
        total["class"] = total["class"] + 0.0 * known.weight.sum()
    return total


@contextmanager
def _layers_before_the_last(network: Any) -> Iterator[list[Tensor]]:
    """In training, what DETR's and Conditional DETR's decoder layers give, but for the last.

    Both were trained with losses after each layer. transformers' own ``auxiliary_loss`` feeds
    each layer with the *normalised* states of the one before, which is another network than the
    published weights are of (and than is run later).
    """
    states: list[Tensor] = []
    with ExitStack() as stack:
        if network.training and network.config.model_type in _OWN_AUXILIARY:
            for layer in network.model.decoder.layers[:-1]:
                noting = layer.register_forward_hook(lambda _m, _given, out: states.append(out))
                stack.callback(noting.remove)
        yield states


def _loss_of(network: Any, state_BQD: Tensor, labels: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Transformers' losses, read off the states of one decoder layer."""
    states = network.model.decoder.layernorm(state_BQD)
    boxes = network.bbox_predictor(states)
    if network.config.model_type == "conditional_detr":  # centres are offsets to fixed points
        points = network.model.decoder.ref_point_head(
            network.model.query_position_embeddings.weight
        )
        boxes = torch.cat([boxes[..., :2] + points, boxes[..., 2:]], dim=-1)
    logits = network.class_labels_classifier(states)
    _, terms, _ = network.loss_function(
        logits, labels, states.device, boxes.sigmoid(), network.config, None, None
    )
    return dict(terms)


def stages(module: nn.Module) -> dict[str, list[nn.Module]]:
    """Modules by depth; parameters that stand beside modules come as lists of parameters."""
    network: Any = module
    if hasattr(network, "vit"):
        return _vit_stages(network)
    inner = network.model
    trunk = _trunk(inner.backbone.model)
    neck = [part for name, part in inner.named_children() if name in _NECKS]
    if hasattr(inner, "level_embed"):
        neck.append(nn.ParameterList([inner.level_embed]))
    used = {id(part) for part in (inner, inner.backbone, *neck)}
    rest = [part for parent in (inner, network) for part in parent.children()]
    head: list[nn.Module] = []
    seen: set[int] = set()
    for part in rest:
        own = {id(parameter) for parameter in part.parameters()}
        if id(part) not in used and own - seen:
            head.append(part)
            seen |= own
    return {**dict(zip(_STAGES, trunk, strict=True)), "neck": neck, "head": head}


def why_not_cached(module: nn.Module) -> str:
    """Why features of the frozen part cannot be kept; empty: they can."""
    if hasattr(module, "vit"):
        return "the features of a vision transformer without a pyramid cannot be cut off"
    return ""


def why_not_recorded(card: ModelCard) -> str:
    """Why a CUDA graph cannot be recorded; empty: it can."""
    kind = card.architecture.get("config", {}).get("model_type")
    if kind == "deformable_detr":
        return "Deformable DETR copies the sizes of its feature maps from the CPU in each pass"
    return ""


def renamed(card: ModelCard, module: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under this version's names; files of the hub have those of the version they are of.

    Read by ``transformers``' own rules. WeightsError shows what is missing.
    """
    own = module.state_dict().keys()
    second = {name for name, _ in module.named_parameters(remove_duplicate=False)} - own
    if not [name for name in own - state.keys() if not name.endswith("num_batches_tracked")]:
        return {name: value for name, value in state.items() if name not in second}
    config = _config(card)
    with quiet():
        read, info = _class(config).from_pretrained(
            None,
            config=config,
            state_dict=dict(state),
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    if info["missing_keys"] or info["mismatched_keys"]:
        return dict(state)  # networks.load_state shows the difference
    return {name: value for name, value in read.state_dict().items() if name in own}


class Trunk(nn.Module):
    """The backbone, for pictures without padding: maps (B, C, h, w) with masks that are all true.

    Stands where ``transformers`` has a module with the same child, so names stay the same.
    """

    def __init__(self, model: nn.Module) -> None:
        """``model`` gives feature maps."""
        super().__init__()
        self.model = model

    def forward(
        self, x_B3HW: Tensor, _pixel_mask: Tensor | None = None
    ) -> list[tuple[Tensor, Tensor]]:
        """One map a level."""
        found = self.model(x_B3HW)
        maps = found.feature_maps if hasattr(found, "feature_maps") else found
        return [(one, torch.ones_like(one[:, 0], dtype=torch.bool)) for one in maps]


class Deployed(nn.Module):
    """Network and decoding: boxes (B, Q, 4) in input pixels and scores (B, Q, C).

    Networks with a ``no object`` output give (B, Q, 6) instead, the best class of every query.
    """

    columns: Tensor

    def __init__(self, module: nn.Module, card: ModelCard) -> None:
        """Shares the module's weights."""
        super().__init__()
        self.module = module
        names = outputs(card)
        columns = torch.tensor([names.index(name) for name in card.classes])
        self.register_buffer("columns", columns, persistent=False)
        self.one_class = card.output.decoding == "scored_boxes"

    def forward(self, x_B3HW: Tensor) -> Any:
        """As ``post_process_object_detection`` of the models' own image processors."""
        height, width = x_B3HW.shape[2:]
        found = self.module(pixel_values=x_B3HW)
        cx, cy, w, h = found.pred_boxes.unbind(-1)
        corners = [(cx - w / 2) * width, (cy - h / 2) * height]
        corners += [(cx + w / 2) * width, (cy + h / 2) * height]
        boxes = torch.stack(corners, dim=-1)
        if not self.one_class:
            return boxes, found.logits.sigmoid()[..., self.columns]
        scores = found.logits.softmax(-1)[..., self.columns]
        best, label = scores.max(-1, keepdim=True)
        return torch.cat([boxes, best, label.to(best.dtype)], dim=2)


def _transformers() -> Any:
    with needs("Hugging Face detectors need transformers: pip install vodkit[hf]"):
        import transformers
    return transformers


def _config(card: ModelCard) -> Any:
    """The configuration of the card, for its outputs."""
    transformers = _transformers()
    from huggingface_hub.errors import StrictDataclassError

    given = card.architecture.get("config")
    if not isinstance(given, Mapping):
        raise WeightsError(f"card of {card.name}: architecture.config is {given!r}; allowed: words")
    kind = str(given.get("model_type"))
    pick(OUTPUTS, kind, f"model_type of {card.name}")
    words = {key: _offline(value) for key, value in given.items() if key != "model_type"}
    words |= {"id2label": dict(enumerate(outputs(card)))}
    if kind in _CHOOSERS and not card.architecture.get("frozen_norm", False):
        words["freeze_backbone_batch_norms"] = False
    words |= {"use_pretrained_backbone": False} if "use_pretrained_backbone" in words else {}
    try:
        return transformers.AutoConfig.for_model(kind, **words)
    except (TypeError, ValueError, KeyError, StrictDataclassError) as error:
        raise WeightsError(f"card of {card.name}: architecture.config: {error}") from error


def _offline(value: Any) -> Any:
    """Weights of a backbone come with the detector's, never from the hub."""
    if isinstance(value, Mapping) and "use_pretrained_backbone" in value:
        return {**value, "use_pretrained_backbone": False}
    return dict(value) if isinstance(value, Mapping) else value


def _class(config: Any) -> Any:
    from transformers.models.auto.modeling_auto import MODEL_FOR_OBJECT_DETECTION_MAPPING

    return MODEL_FOR_OBJECT_DETECTION_MAPPING[type(config)]


def _made(config: Any) -> Any:
    with quiet():
        try:
            module = _class(config)(config)
        except (TypeError, ValueError, RuntimeError, IndexError, KeyError) as error:
            raise WeightsError(f"no network of this configuration: {error}") from error
    # Where every class is a yes or no, new ones begin improbable (Lin et al. 2017, section 4.1);
    # transformers forgets it for these two.
    if config.model_type == "conditional_detr":
        nn.init.constant_(module.class_labels_classifier.bias, -math.log(99))
    if config.model_type == "deformable_detr":
        for layer in module.class_embed:
            nn.init.constant_(layer.bias, -math.log(99))
    return module


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' log and bars of what it loads: the caller gives the errors."""
    log = _transformers().logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()


def _labels(card: ModelCard, x_B3HW: Tensor, targets: Sequence[Target]) -> list[dict[str, Tensor]]:
    """Boxes as centre and size in shares of the picture, and the numbers of their outputs."""
    height, width = x_B3HW.shape[2:]
    names = outputs(card)
    columns = torch.tensor([names.index(name) for name in card.classes], device=x_B3HW.device)
    size = torch.tensor([width, height, width, height], device=x_B3HW.device)
    wanted = []
    for target in targets:
        boxes, labels = target.kept()
        real = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
        x1, y1, x2, y2 = (boxes[real].float() / size).unbind(1)
        centred = torch.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], dim=1)
        wanted.append({"boxes": centred, "class_labels": columns[labels[real]]})
    return wanted


def _weights(config: Any) -> dict[str, float]:
    """Of losses that transformers reports unweighted (DETR and its relatives)."""
    if not hasattr(config, "bbox_loss_coefficient"):
        return {}
    return {
        # Conditional DETR was trained with 2 (its configuration says so), which transformers' own
        # sum forgets.
        "loss_ce": float(getattr(config, "cls_loss_coefficient", 1)),
        "loss_bbox": float(config.bbox_loss_coefficient),
        "loss_giou": float(config.giou_loss_coefficient),
    }


def _trunk(backbone: Any) -> list[list[nn.Module]]:
    """Stem and four stages of a backbone of transformers or timm; others are all stage4."""
    inner = getattr(backbone, "_backbone", backbone)
    if hasattr(inner, "feature_info"):
        return timm_depths(inner)
    children = dict(inner.named_children())
    if "embedder" in children and hasattr(inner.encoder, "stages"):
        depths = [[stage] for stage in inner.encoder.stages]
        return [[inner.embedder], *depths[:4], *([[]] * (4 - len(depths)))]
    return [[], [], [], [], [inner]]


def _vit_stages(network: Any) -> dict[str, list[nn.Module]]:
    """YOLOS: quarters of the encoder; the detection tokens belong to the head."""
    vit = network.vit
    given = vit.embeddings
    blocks = list(vit.encoder.layer)
    cuts = [round(len(blocks) * i / 4) for i in range(5)]
    parts: list[list[nn.Module]] = [blocks[cuts[i] : cuts[i + 1]] for i in range(4)]
    places = nn.ParameterList([given.cls_token, given.position_embeddings])
    stem: list[nn.Module] = [given.patch_embeddings, given.dropout, places]
    if vit.encoder.interpolation is not None:
        stem.append(vit.encoder.interpolation)
    tokens = nn.ParameterList([given.detection_tokens])
    head = [tokens, network.class_labels_classifier, network.bbox_predictor]
    named = dict(zip(_STAGES, [stem, *parts], strict=True))
    return {**named, "neck": [vit.layernorm], "head": head}


def _thaw_norms(module: nn.Module) -> None:
    """Norms that learn in place of norms with fixed statistics, which nobody has learnt yet."""
    for name, child in module.named_children():
        if type(child).__name__.endswith("FrozenBatchNorm2d"):
            fixed: Any = child
            learning = nn.BatchNorm2d(len(fixed.weight), device=fixed.weight.device)
            with torch.no_grad():
                learning.weight.copy_(fixed.weight)
                learning.bias.copy_(fixed.bias)
            setattr(module, name, learning)
        else:
            _thaw_norms(child)


def _sizes_of_maps(_module: nn.Module, given: Any, named: dict[str, Any]) -> tuple[Any, Any]:
    """In a graph that is traced, heights and widths of the maps as tensors made of the picture's.

    ``transformers`` makes constants of them, so that the graph were right at one size only.
    """
    maps = named["spatial_shapes_list"]
    if isinstance(maps[0][0], Tensor):  # by torch.jit
        named = {**named, "spatial_shapes": torch.stack([torch.stack(size) for size in maps])}
    return given, named


def _without(
    aliases: frozenset[str], _module: nn.Module, state: dict[str, Tensor], prefix: str, _: Any
) -> None:
    for name in aliases:
        state.pop(prefix + name, None)


def _not_missing(aliases: frozenset[str], _module: nn.Module, found: Any) -> None:
    found.missing_keys[:] = [
        name for name in found.missing_keys if not any(name.endswith(a) for a in aliases)
    ]
