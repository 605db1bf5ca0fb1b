"""Cards and checkpoints: what is written is read back, and what does not belong is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vodkit.detect import networks
from vodkit.detect.base import Metric, ModelCard, Output, Preprocessing, read_card, write_card
from vodkit.detect.checkpoint import card_path, load_checkpoint, save_checkpoint
from vodkit.detect.models import build_network
from vodkit.ground.errors import FormatError, SettingsError, WeightsError

CARD = ModelCard(
    name="tiny",
    family="yolox",
    classes=("person", "car"),
    licence="Apache-2.0",
    source="made for a test",
    preprocessing=Preprocessing(width_px=64, height_px=64, mean=(1.0, 2.0, 3.0)),
    output=Output(decoding="scored_boxes"),
    architecture={"backbone": "resnet18", "width": 0.125, "depthwise": True},
    expected=(Metric(name="AP50", value=0.5, data="nothing"),),
)


def test_a_card_reads_back_equal(tmp_path: Path) -> None:
    write_card(CARD, tmp_path / "c.card.json")
    assert read_card(tmp_path / "c.card.json") == CARD


def test_a_card_in_toml(tmp_path: Path) -> None:
    path = tmp_path / "g.card.toml"
    path.write_text(
        'name = "g"\nfamily = "graph"\nclasses = ["person"]\nlicence = "MIT"\nsource = "s"\n'
        '[preprocessing]\nwidth_px = 300\nheight_px = 300\nlayout = "nhwc"\n'
        '[output]\ndecoding = "tf_detection"\nnames = ["a:0", "b:0"]\nfirst_label = 1\n'
    )
    card = read_card(path)
    assert card.output == Output(decoding="tf_detection", names=("a:0", "b:0"), first_label=1)
    assert card.preprocessing.layout == "nhwc"
    path.write_text(path.read_text() + "nms = 0.5\n")
    with pytest.raises(SettingsError, match="nms_iou"):
        read_card(path)


@pytest.mark.parametrize("text", ["{", "[]", '{"name": 3}', '{"nam": "x"}'])
def test_broken_cards_name_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.card.json").write_text(text)
    with pytest.raises(FormatError, match=r"c\.card\.json"):
        read_card(tmp_path / "c.card.json")


def test_cards_need_unique_classes() -> None:
    with pytest.raises(WeightsError, match="unique"):
        ModelCard(**{**CARD.__dict__, "classes": ("car", "car")})


def test_checkpoint_reads_back_equal(tmp_path: Path) -> None:
    state = {"a.weight": torch.randn(3, 4).t(), "count": torch.tensor(7)}
    path = tmp_path / "m.safetensors"
    written = save_checkpoint(state, CARD, path)
    read, card = load_checkpoint(path)
    assert card == written
    assert card.size_bytes == path.stat().st_size
    assert json.loads(card_path(path).read_text())["sha256"] == card.sha256
    assert read.keys() == state.keys()
    assert all(torch.equal(read[name], state[name]) for name in state)


def test_checkpoints_that_do_not_belong_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    with pytest.raises(WeightsError, match="missing"):
        load_checkpoint(path)
    with pytest.raises(WeightsError, match=r"\.safetensors"):
        save_checkpoint({}, CARD, tmp_path / "m.pth")
    save_checkpoint({"a": torch.zeros(3)}, CARD, path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WeightsError, match="corrupt"):
        load_checkpoint(path)
    card_path(path).unlink()
    with pytest.raises(WeightsError, match=r"m\.card\.json is missing"):
        load_checkpoint(path)


@pytest.mark.slow
def test_weights_of_other_classes_than_the_models_are_refused(tmp_path: Path) -> None:
    """As many of them would load, and every car be called a person."""
    turned = replace(CARD, name="turned", classes=("car", "person"))
    for card in (CARD, turned):
        save_checkpoint(
            networks.build(card).state_dict(), card, tmp_path / f"{card.name}.safetensors"
        )
    model, other = tmp_path / "tiny.safetensors", tmp_path / "turned.safetensors"
    assert build_network(model, weights=model)[1].classes == ("person", "car")
    with pytest.raises(
        WeightsError, match=r"class 0 of turned is 'car', of tiny 'person'; allowed"
    ):
        build_network(model, weights=other)
