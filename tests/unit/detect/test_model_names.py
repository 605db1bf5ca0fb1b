"""Models by short names: resolved where one fits, else the candidates are named."""

import pytest

from vodkit.detect.models import find_card, model_name
from vodkit.detect.published import MODELS
from vodkit.ground.errors import SettingsError
from vodkit.infer.folder import RunFolder
from vodkit.infer.settings import InferSettings


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("ssdlite", "ssdlite320_mobilenet_v3_large"),
        ("SSD300", "ssd300_vgg16"),
        ("fcos", "fcos_resnet50_fpn"),
        ("YOLOX-nano", "yolox_nano"),
        ("retinanet-resnet50-fpn", "retinanet_resnet50_fpn"),
        ("street", "vodkit-street"),
        ("detr-", "detr-resnet-50"),
    ],
)
def test_a_short_name_that_fits_one_model_is_that_model(short: str, full: str) -> None:
    assert model_name(short) == full
    assert find_card(short)[0].name == full


@pytest.mark.parametrize("short", ["yolox", "faster", "fasterrcnn", "retinanet", "ssd", "rt-detr"])
def test_a_short_name_of_several_models_names_them_all(short: str) -> None:
    plain = short.replace("-", "")
    own = [name for name in MODELS if name.replace("-", "").startswith(plain)]
    with pytest.raises(SettingsError, match="is short for several") as error:
        find_card(short)
    assert str(error.value).rpartition(": ")[2].split(", ") == own
    assert len(own) > 1


@pytest.mark.parametrize("name", [*MODELS])
def test_every_full_name_is_itself(name: str) -> None:
    assert model_name(name) == name


@pytest.mark.parametrize("name", ["", "x", "-", "resnet9000"])
def test_what_fits_none_is_unknown(name: str) -> None:
    with pytest.raises(SettingsError, match="unknown model"):
        model_name(name)


def test_a_run_records_the_full_name_and_resumes_by_the_short_one(tmp_path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.prepare(InferSettings(model="ssdlite"))
    assert folder.settings.model == "ssdlite320_mobilenet_v3_large"
    (folder / "predictions.jsonl").write_text("")
    assert folder.check(InferSettings(model="SSDlite"), resume=True)
