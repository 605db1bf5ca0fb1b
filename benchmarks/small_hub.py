"""Small Hugging Face detectors, one of each model type, begun from ImageNet's backbone weights.

A helper of ``finetune_overfit.py`` and ``finetune_families.py``: a table of configurations, and a
checkpoint made of one.
"""

import json
from pathlib import Path
from typing import Any

import torch

from vodkit.detect.checkpoint import save_checkpoint
from vodkit.detect.imagenet import packaged_lite
from vodkit.detect.models import build_network

_BACKBONE: dict[str, Any] = {
    "model_type": "timm_backbone",
    "backbone": "tf_efficientnet_lite0",
    "features_only": True,
}
_DETR: dict[str, Any] = {
    "d_model": 64,
    "encoder_ffn_dim": 128,
    "decoder_ffn_dim": 128,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_layers": 1,
    "decoder_layers": 3,
    "num_queries": 20,
    "dropout": 0.0,
    "backbone_config": {**_BACKBONE, "out_indices": [3]},  # stride 16
}
_RT_DETR: dict[str, Any] = {
    **_DETR,
    "decoder_layers": 2,
    "encoder_hidden_dim": 64,
    "encoder_in_channels": [40, 112, 320],
    "decoder_in_channels": [64, 64, 64],
    "num_denoising": 60,
    "hidden_expansion": 0.5,
    "backbone_config": {**_BACKBONE, "out_indices": [2, 3, 4]},
}
KINDS: dict[str, dict[str, Any]] = {
    "rt_detr": _RT_DETR,
    "rt_detr_v2": _RT_DETR,
    "d_fine": {**_RT_DETR, "decoder_n_points": [4, 4, 4], "depth_mult": 0.34},
    "detr": _DETR,
    "conditional_detr": _DETR,
    "deformable_detr": {
        **_DETR,
        "num_feature_levels": 3,
        "with_box_refine": True,
        "backbone_config": {**_BACKBONE, "out_indices": [2, 3, 4]},
    },
    "yolos": {
        "hidden_size": 96,
        "num_hidden_layers": 6,
        "num_attention_heads": 4,
        "intermediate_size": 192,
        "num_detection_tokens": 20,
        "hidden_dropout_prob": 0.0,
    },
}
"""model type of ``transformers``: its configuration"""


def hub_folder(folder: Path, kind: str, side_px: int) -> Path:
    """What the hub would hand out: configuration and preprocessing."""
    folder.mkdir(parents=True)
    config = {"model_type": kind, **KINDS[kind], "id2label": {"0": "object"}}
    if kind == "yolos":
        config["image_size"] = [side_px, side_px]
    (folder / "config.json").write_text(json.dumps(config))
    # The backbone's own; YOLOS is all random.
    wanted = {
        "size": {"height": side_px, "width": side_px},
        "do_normalize": True,
        "image_mean": [127 / 255] * 3,
        "image_std": [128 / 255] * 3,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(wanted))
    return folder


def start(folder: Path, kind: str, side_px: int) -> Path:
    """A checkpoint: the backbone as ImageNet left it (YOLOS: random), all else random."""
    torch.manual_seed(0)
    module, card = build_network(hub_folder(folder / kind, kind, side_px), weights="random")
    state, where = module.state_dict(), "model.backbone.model._backbone."
    learnt = packaged_lite("tf_efficientnet_lite0")
    known = {where + name: value for name, value in learnt.items() if where + name in state}
    module.load_state_dict({**state, **known})
    path = folder / f"{kind}.safetensors"
    save_checkpoint(module.state_dict(), card, path)
    return path
