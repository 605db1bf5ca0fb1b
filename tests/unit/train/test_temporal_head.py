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
from vodkit.ground.records import Detections, Frame
from vodkit.infer.flow import make_detector
from vodkit.infer.settings import InferSettings
from vodkit.samples.samples import CLIP_A, LABELS
from vodkit.temporal.memory import geometry
from vodkit.train import temporal_data
from vodkit.train.resume import described, digest
from vodkit.train.temporal import TemporalResult, search, train_temporal
from vodkit.train.temporal_data import Key, TemporalSettings, offsets
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


@pytest.mark.parametrize(
    ("clean", "degraded", "worse_on"),
    [(0.898, 0.9, ()), (0.89, 0.9, ("clean",)), (0.89, 0.7, ("clean", "degraded"))],
)
def test_a_head_that_is_worse_than_its_detector_is_reported(
    clean: float, degraded: float, worse_on: tuple[str, ...]
) -> None:
    ap50 = {
        "still": 0.9, "links": 0.8, "head": clean,
        "still_degraded": 0.8, "links_degraded": 0.6, "head_degraded": degraded,
    }  # fmt: skip
    result = TemporalResult(
        checkpoint=Path("x"), ap50=ap50, num_frames=4, num_held_out=2, seconds=1.0
    )
    assert result.is_better  # than links: not enough
    assert result.worse_on == worse_on
    assert result.to_json()["worse_than_detector_on"] == worse_on


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


def made_keys(count: int) -> list[Key]:
    """Frames with two candidates, of which the first is an object, and the frame before each."""
    keys = []
    for number in range(count):
        x = 10.0 + 3 * number
        boxes = np.array([[x, 10, x + 20, 50], [80, 80, 99, 99]])
        found = Detections(boxes, np.array([0.4, 0.5]), np.zeros(2, int))
        here, before = (geometry(number / 10 - ago, found) for ago in (0.0, 0.1))
        overlaps, counts = np.array([[1.0], [0.0]]), np.ones(2, bool)
        keys.append(
            Key((here, here), (overlaps, overlaps), (counts, counts), boxes[:1], np.zeros(1, int),
                ((before, before),))
        )  # fmt: skip
    return keys


def test_a_search_tries_the_given_settings_first_and_never_the_frames_it_is_judged_on() -> None:
    wanted = TemporalSettings(data="x", steps=2, batch_size=2)
    videos = [made_keys(8), made_keys(4)]
    tried = search(wanted, videos, 3, lambda *_: None)
    assert tried[0].settings == wanted
    assert len({one.settings.lr for one in tried}) == 3
    assert all(0 <= one.score <= 1 for one in tried)
    again = search(wanted, videos, 3, lambda *_: None)
    assert [one.line() for one in again] == [one.line() for one in tried]
    with pytest.raises(InputError, match="four labelled frames or more"):
        search(wanted, [made_keys(2)], 1, lambda *_: None)


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
