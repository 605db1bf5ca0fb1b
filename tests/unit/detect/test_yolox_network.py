"""YOLOX: official names and numbers, decoding, stages."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vodkit.detect import decode, yolox
from vodkit.detect.weights import read_state
from vodkit.ground.errors import SettingsError

WEIGHTS = "weights/yolox_nano/yolox_nano_coco_bn_identity_statedict.pth"
# million parameters, from the table of published models (YOLOX README)
PUBLISHED = {"nano": 0.91, "tiny": 5.06, "s": 9.0, "m": 25.3, "l": 54.2, "x": 99.1}


@pytest.mark.parametrize("size", yolox.SIZES)
def test_sizes_have_the_published_number_of_parameters(size: str) -> None:
    with torch.device("meta"):
        model = yolox.build_yolox(size, 80)
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    assert millions == pytest.approx(PUBLISHED[size], abs=0.06)


def test_official_nano_gives_what_the_official_onnx_gives(shared_data: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    model = yolox.build_yolox("nano", 80).eval()
    model.load_state_dict(read_state(shared_data / WEIGHTS))
    session = onnxruntime.InferenceSession(shared_data / "weights/yolox_nano/yolox_nano.onnx")
    x = np.random.default_rng(0).uniform(0, 255, (1, 3, 416, 416)).astype(np.float32)
    expected = session.run(None, {"images": x})[0]
    with torch.inference_mode():
        raw = model(torch.from_numpy(x))
    ours = torch.cat([raw[..., :4], raw[..., 4:].sigmoid()], dim=2).numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-4)
    # and both ways to decode are one
    decoded = yolox.decode_outputs(raw, height_px=416, width_px=416).numpy()[0]
    found = decode.yolox((expected[0],), 0.0, (416, 416))
    np.testing.assert_allclose(
        (found.boxes_xyxy[:, :2] + found.boxes_xyxy[:, 2:]) / 2, decoded[:, :2], atol=1e-2
    )
    best = decoded[:, 4] * decoded[:, 5:].max(axis=1)
    np.testing.assert_allclose(found.scores, best, atol=1e-4)


@pytest.mark.parametrize(
    "model",
    [
        lambda: yolox.build_yolox("nano", 2),
        lambda: yolox.build_yolox_timm("tf_efficientnet_lite0", 2),
        lambda: yolox.build_yolox_timm("resnet18", 2, depthwise=False, width=0.125),
        lambda: yolox.build_yolox_timm("convnext_atto", 2),
    ],
    ids=["nano", "lite0", "resnet18", "convnext"],
)
def test_every_parameter_is_in_one_stage(model) -> None:
    with torch.device("meta"):
        built = model()
    stages = yolox.stages(built)
    assert tuple(stages) == yolox.STAGES
    inside = [id(p) for part in stages.values() for module in part for p in module.parameters()]
    assert sorted(inside) == sorted(id(p) for p in built.parameters())
    assert all(stages[name] for name in ("stage1", "stage2", "stage3", "stage4", "neck", "head"))


def test_timm_network_has_the_same_grid() -> None:
    model = yolox.build_yolox_timm("tf_efficientnet_lite0", 3).eval()
    with torch.inference_mode():
        raw = model(torch.zeros(1, 3, 64, 96))
    assert raw.shape == (1, 8 * 12 + 4 * 6 + 2 * 3, 8)
    corners, strides = yolox.grid(64, 96)
    assert corners[8 * 12].tolist() == [0, 0]
    assert strides[[0, -1], 0].tolist() == [8, 32]


def test_unknown_backbones_are_refused_with_near_names() -> None:
    with pytest.raises(SettingsError, match="did you mean tf_efficientnet_lite"):
        yolox.build_yolox_timm("tf_efficientnet_lite", 2)
    with torch.device("meta"), pytest.raises(SettingsError, match="strides"):
        yolox.build_yolox_timm("vit_tiny_patch16_224", 2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_boxes_are_decoded_in_float32_whatever_the_precision(dtype: torch.dtype) -> None:
    """At 1280 px half precision would move centres by pixels."""
    raw = torch.randn(1, 160 * 160 + 80 * 80 + 40 * 40, 6, generator=torch.manual_seed(0)).to(dtype)
    boxes = yolox.decode_boxes(raw, height_px=1280, width_px=1280)
    expected = yolox.decode_boxes(raw.double(), height_px=1280, width_px=1280)
    assert boxes.dtype == torch.float32
    assert float((boxes - expected).abs().max()) < 1e-3
