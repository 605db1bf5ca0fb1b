"""A temporal head on the sample clips: what it leaves behind, and what is refused before."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vodkit.data.degrade import degraded
from vodkit.detect.base import ModelCard, Training, write_card
from vodkit.detect.checkpoint import card_path, load_checkpoint, read_checkpoint_card
from vodkit.detect.models import find_card, load_detector
from vodkit.formats.table import read_dataset
from vodkit.ground.errors import InputError, OutputError, SettingsError
from vodkit.ground.records import Frame
from vodkit.infer.flow import make_detector
from vodkit.infer.settings import InferSettings
from vodkit.samples.samples import CLIP_A, LABELS
from vodkit.train import temporal_data
from vodkit.train.resume import described, digest
from vodkit.train.temporal import train_temporal
from vodkit.train.temporal_data import TemporalSettings, offsets
from vodkit.video.reader import open_video


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("mode", "online", "causal, both"),
        ("lr", float("nan"), "above 0, finite"),
        ("degraded", 2.0, "0 to 1"),
        ("steps", -1, "0 or more"),
        ("seed", -1, "0 to 4294967295"),
    ],
)
def test_settings_out_of_range_are_refused(name: str, value: object, allowed: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} is .*; allowed: {allowed}$"):
        TemporalSettings(data="x", **{name: value})  # type: ignore[arg-type]


def test_degraded_copies_differ_and_are_repeatable() -> None:
    image = np.random.default_rng(1).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    before = image.copy()
    one, other = (
        [degraded(image, rng) for _ in range(20)] for rng in map(np.random.default_rng, (5, 5))
    )
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert all(a.shape == image.shape for a in one)
    assert sum(not np.array_equal(a, image) for a in one) > 15
    assert np.array_equal(image, before)


def test_frames_that_memory_asks_for() -> None:
    lags = TemporalSettings(data="x").lags_s
    assert offsets(lags, 30.0, both=False) == [-48, -24, -12, -6, -3, -2]
    assert offsets(lags, 1.0, both=True) == [-2, -1, 1, 2]
    assert offsets(lags, 0.1, both=False) == []


def test_the_labels_that_a_detector_learnt_from_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = read_dataset(LABELS)
    about = digest(described(dataset.only("train")))
    training = Training(
        began_with="", sha256="", licence="", notes="", data=f"plaza.json: labels {about}",
        data_licence="", settings={}, stack={},
    )  # fmt: skip
    card: ModelCard = replace(find_card("vodkit-street")[0], trained=(training,))
    monkeypatch.setattr(temporal_data, "find_card", lambda _: (card, None))
    wanted = TemporalSettings(data=str(LABELS))
    with pytest.raises(SettingsError, match=r"was trained on these labels .*; allowed"):
        temporal_data.refuse_same_labels(wanted, dataset, "train")
    temporal_data.refuse_same_labels(wanted, dataset, "test")
    temporal_data.refuse_same_labels(replace(wanted, same_labels=True), dataset, "train")


def small(out: Path, **more: object) -> TemporalSettings:
    given = {"train_split": "", "most_frames": 4, "steps": 20, "lags_s": (0.1, 0.4), **more}
    return TemporalSettings(data=str(LABELS), out=str(out), **given)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_head_trains_repeatably_and_serves_its_detector_alone(tmp_path: Path) -> None:
    result = train_temporal(small(tmp_path / "one"))
    again = train_temporal(small(tmp_path / "two"))
    assert again.checkpoint.read_bytes() == result.checkpoint.read_bytes()
    assert set(result.ap50) == {
        f"{name}{kind}" for name in ("still", "links", "head") for kind in ("", "_degraded")
    }
    assert result.num_held_out == 2
    with pytest.raises(OutputError, match="exists already; --overwrite"):
        train_temporal(small(tmp_path / "one"))
    frames: list[Frame] = list(open_video(CLIP_A).frames())[:2]
    wanted = InferSettings(temporal=str(result.checkpoint))
    still = load_detector("vodkit-street", score_threshold=0.01)
    for one, other in zip(make_detector(wanted).detect(frames), still.detect(frames), strict=True):
        assert one.features is not None
        assert one.features.shape == (len(one), 32)
        np.testing.assert_allclose(one.boxes_xyxy, other.boxes_xyxy, atol=0.05)
    card = read_checkpoint_card(result.checkpoint)
    write_card(
        replace(card, architecture={**card.architecture, "detector_sha256": "0" * 64}),
        card_path(result.checkpoint),
    )
    with pytest.raises(InputError, match="was made for vodkit-street"):
        make_detector(wanted)


@pytest.mark.slow
def test_a_head_learns_when_to_trust_memory(tmp_path: Path) -> None:
    result = train_temporal(small(tmp_path, most_frames=40, steps=100, mode="both"))
    ap50 = {name: value or 0 for name, value in result.ap50.items()}
    assert ap50["head_degraded"] > ap50["links_degraded"] > ap50["still_degraded"]
    assert ap50["head"] > ap50["still"] - 0.003
    assert result.is_better
    state, card = load_checkpoint(result.checkpoint)
    assert np.isfinite(state["logs"].numpy()).all()
    assert card.architecture["mode"] == "both"


@pytest.mark.slow
def test_a_graph_file_has_no_features_and_labels_need_a_shared_class(tmp_path: Path) -> None:
    labels = tmp_path / "labels.json"
    text = (
        LABELS.read_text(encoding="utf-8").replace('"person"', '"zebra"').replace('"car"', '"gnu"')
    )
    labels.write_text(text, encoding="utf-8")
    wanted = replace(small(tmp_path / "out"), data=str(labels), root=str(LABELS.parent))
    with pytest.raises(InputError, match="no class of the detector's: classes"):
        train_temporal(wanted)
