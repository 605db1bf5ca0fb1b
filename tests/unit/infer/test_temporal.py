"""Temporal memory in a run: one answer from library, folder, resumed run and any batch size."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vodkit.detect.base import Detector, ModelCard, Output, Preprocessing
from vodkit.detect.checkpoint import save_checkpoint
from vodkit.detect.temporal_head import HEAD_FAMILY, load_head, temporal_card
from vodkit.detect.weights import read_state
from vodkit.formats.predictions import read_frames
from vodkit.ground import runs
from vodkit.ground.errors import InputError, OutputError, SettingsError, VideoError, WeightsError
from vodkit.ground.records import Detections, Frame
from vodkit.infer.flow import detect_video, track_video
from vodkit.infer.folder import RunFolder
from vodkit.infer.follow import make_follower
from vodkit.infer.handover import keep_state
from vodkit.infer.run import run_source
from vodkit.infer.settings import InferSettings
from vodkit.temporal.recall import RecallSettings, first_weights
from vodkit.video.synth import Scene, SceneSettings, write_scene

NUM_FRAMES = 40
CUT = 20
LINKS = ("links", "links-both")
MODES = (*LINKS, "recall", "recall-both")
KEY_SIZE = 4


class Blinking(Detector):
    """One steady walker whose score falls in every fourth frame, and a flash in frame 30."""

    classes = ("thing",)
    card = ModelCard(
        name="blinking",
        family="graph",
        classes=classes,
        licence="Apache-2.0",
        source="these tests",
        preprocessing=Preprocessing(width_px=160, height_px=120),
        output=Output(decoding="none"),
    )

    def __init__(self, *, least: float = 0.01) -> None:
        self.least = least

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        return [self._one(frame.index) for frame in frames]

    def _one(self, index: int) -> Detections:
        x = 10.0 + 2 * index
        rows = [(x, 40, x + 30, 90, 0.03 if index % 4 == 3 else 0.8)]
        rows += [(100, 5, 130, 35, 0.4)] * (index == 30)
        table = np.array([row for row in rows if row[4] >= self.least]).reshape(-1, 5)
        features = np.eye(KEY_SIZE)[[row % KEY_SIZE for row in range(len(table))]]
        return Detections(
            table[:, :4], table[:, 4], np.zeros(len(table), np.int64), features=features
        )


def write_head(path: Path, *, both: bool, features: bool, detector: str = "") -> Path:
    """A head with random weights; the causal one uses features."""
    shape, rng = RecallSettings(both=both), np.random.default_rng(7)
    weights = first_weights()
    for name in ("hidden.weight", "out.weight", "likeness"):
        noise = rng.normal(0, 0.1, weights[name].shape)
        weights[name] = weights[name] + noise.astype(np.float32)
    if features:
        weights["keys.shift"] = np.zeros(9, np.float32)
        weights["keys.scale"] = np.ones(9, np.float32)
        weights["keys.weight"] = rng.normal(size=(KEY_SIZE, 9)).astype(np.float32)
    about = {
        "detector": "blinking",
        "detector_sha256": detector,
        "mode": "both" if both else "causal",
        "lags_s": list(shape.lags_s),
        "stages": ["neck"] if features else [],
        "bins": [3, 3],
        "most": shape.most,
        "remembered": shape.remembered,
    }
    card = replace(Blinking.card, name=path.stem, family=HEAD_FAMILY, architecture=about)
    save_checkpoint({name: torch.from_numpy(v) for name, v in weights.items()}, card, path)
    return path


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """What the setting ``temporal`` is in a mode."""
    folder = tmp_path_factory.mktemp("heads")

    def temporal(mode: str) -> str:
        if mode in LINKS:
            return mode
        path, both = folder / f"{mode}.safetensors", mode.endswith("both")
        return str(path if path.exists() else write_head(path, both=both, features=not both))

    return temporal


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest, head: Callable[[str], str]) -> str:
    return head(request.param)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "scene.mp4"
    wanted = SceneSettings(num_frames=NUM_FRAMES, width_px=160, height_px=120)
    write_scene(Scene(wanted), path)
    return path


def in_folder(clip: Path, folder: Path, wanted: InferSettings, *, stop_after: int = -1) -> Path:
    RunFolder(folder).prepare(wanted, resume=(folder / runs.SETTINGS).exists())
    for step in run_source(str(clip), folder, Blinking(), wanted):
        if step.num_done == stop_after:
            break
    return folder / runs.PREDICTIONS


def scores(found: Iterator[tuple[Frame, Detections]]) -> dict[int, np.ndarray]:
    return {frame.index: detections.scores for frame, detections in found}


@pytest.mark.parametrize("mode", LINKS)
def test_weak_frames_of_a_steady_object_are_found(clip: Path, mode: str) -> None:
    still = scores(detect_video(clip, Blinking(least=0.05)))
    linked = scores(detect_video(clip, Blinking(), settings=InferSettings(temporal=mode)))
    assert list(linked) == list(range(NUM_FRAMES))
    for index in range(7, NUM_FRAMES, 4):
        assert len(still[index]) == 0
        assert linked[index][0] > 0.3
    assert np.float32(0.4) in linked[30]  # nothing fits the flash: its score is untouched


@pytest.mark.slow
@pytest.mark.parametrize("tracker", ["vodkit", "none"])
def test_library_folder_and_resumed_run_agree(
    clip: Path, tmp_path: Path, mode: str, tracker: str
) -> None:
    wanted = InferSettings(temporal=mode, tracker=tracker)
    whole = in_folder(clip, tmp_path / "whole", wanted)
    for stop_after in (1, 25):
        part = tmp_path / f"stopped-{stop_after}"
        in_folder(clip, part, wanted, stop_after=stop_after)
        there = [runs.FEATURES] if (whole.parent / runs.FEATURES).exists() else []
        for name in (runs.PREDICTIONS, runs.DETECTIONS, *there):
            resumed = in_folder(clip, part, wanted).with_name(name)
            assert resumed.read_bytes() == whole.with_name(name).read_bytes()
    if tracker == "none":
        ours = [found for _, found in detect_video(clip, Blinking(), settings=wanted)]
    else:
        ours = [tracks for _, _, tracks in track_video(clip, Blinking(), settings=wanted)]
    assert len(ours) == NUM_FRAMES
    for one, frame in zip(ours, read_frames(whole), strict=True):
        np.testing.assert_allclose(one.boxes_xyxy, frame.found.boxes_xyxy, atol=0.006)
        np.testing.assert_allclose(one.scores, frame.found.scores, atol=6e-5)


@pytest.mark.slow
def test_batches_change_nothing(clip: Path, tmp_path: Path, mode: str) -> None:
    one, eight = (
        in_folder(clip, tmp_path / f"{size}", InferSettings(temporal=mode, batch_size=size))
        for size in (1, 8)
    )
    assert one.read_bytes() == eight.read_bytes()


@pytest.mark.parametrize("name", ["links", "recall"])
def test_frame_by_frame_is_the_same_as_live_sources_are(
    clip: Path, head: Callable[[str], str], name: str
) -> None:
    wanted = InferSettings(temporal=head(name))
    follower = make_follower(wanted, Blinking.classes)
    detector = Blinking()
    for frame, _, tracks in track_video(clip, detector, settings=wanted):
        assert follower.step(frame, detector.detect([frame])[0]).tracks == tracks


@pytest.mark.parametrize("name", ["links", "recall"])
def test_two_cameras_in_turn_are_two_runs(
    clip: Path, head: Callable[[str], str], name: str
) -> None:
    wanted = InferSettings(temporal=head(name))
    alone = [
        x.tracks
        for x in make_follower(wanted, Blinking.classes).steps(detect_video(clip, Blinking()))
    ]
    one, two = make_follower(wanted, Blinking.classes), make_follower(wanted, Blinking.classes)
    for number, (frame, found) in enumerate(detect_video(clip, Blinking())):
        for follower in (one, two):
            assert follower.step(frame, found).tracks == alone[number]


def test_a_cut_is_a_fresh_start(mode: str) -> None:
    """A white picture between black ones: the memory of before is not asked afterwards."""
    wanted, detector = InferSettings(temporal=mode), Blinking()

    def frames(begin: int) -> Iterator[tuple[Frame, Detections]]:
        for index in range(begin, NUM_FRAMES):
            image = np.full((60, 80, 3), 250 if index >= CUT else 5, np.uint8)
            frame = Frame(index, index / 10, image, 160, 120)
            yield frame, detector.detect([frame])[0]

    follower = make_follower(wanted, Blinking.classes)
    whole = list(follower.steps(frames(0)))
    assert follower.num_cuts == 1
    after = list(make_follower(wanted, Blinking.classes).steps(frames(CUT)))
    for one, two in zip(whole[CUT:], after, strict=True):
        assert one.detections == two.detections


def test_a_video_that_breaks_off_gives_every_frame_before(mode: str) -> None:
    detector = Blinking()

    def frames() -> Iterator[tuple[Frame, Detections]]:
        for index in range(12):
            frame = Frame.unseen(index, index / 10, width_px=160, height_px=120)
            yield frame, detector.detect([frame])[0]
        raise VideoError("cut off", path="a.mp4")

    steps = make_follower(InferSettings(temporal=mode), Blinking.classes).steps(frames())
    seen = []
    with pytest.raises(VideoError):  # noqa: PT012
        for step in steps:
            seen.append(step.frame.index)  # noqa: PERF401 - those before the error
    assert seen == list(range(12))


def test_an_empty_video_and_a_single_frame(head: Callable[[str], str]) -> None:
    for mode in map(head, MODES):
        follower = make_follower(InferSettings(temporal=mode), Blinking.classes)
        assert list(follower.steps([])) == []
        frame = Frame.unseen(0, 0.0, width_px=160, height_px=120)
        found = Blinking(least=0.05).detect([frame])[0]
        (only,) = make_follower(InferSettings(temporal=mode), Blinking.classes).steps(
            [(frame, found)]
        )
        assert only.detections == replace(found, features=None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"temporal": "yes"},
        {"temporal": "links", "tiles": "auto"},
        {"temporal": "links-both", "every": "auto"},
        {"temporal": "head.safetensors", "tiles": "3x2"},
    ],
)
def test_what_does_not_go_together_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="allowed"):
        InferSettings(**wrong)  # type: ignore[arg-type]


def test_a_head_of_later_frames_is_refused_where_there_are_none(head: Callable[[str], str]) -> None:
    with pytest.raises(SettingsError, match="uses later frames, every is auto"):
        InferSettings(temporal=head("recall-both"), every="auto")
    assert not InferSettings(temporal=head("recall"), every="auto").is_delayed


def test_a_head_is_refused_for_another_detector(head: Callable[[str], str]) -> None:
    path = Path(head("recall"))
    assert load_head(path, Blinking.card).keys is not None
    with pytest.raises(WeightsError, match=r"was made for blinking .*, not for blinking .*other"):
        load_head(path, replace(Blinking.card, sha256="other"))
    larger = replace(Blinking.card.preprocessing, width_px=320)
    with pytest.raises(SettingsError, match="trained on an input of 160x120 px, the detector has"):
        load_head(path, replace(Blinking.card, preprocessing=larger))


def test_a_missing_head_and_one_of_another_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"lost\.safetensors is missing"):
        make_follower(InferSettings(temporal=str(tmp_path / "lost.safetensors")))
    path = tmp_path / "other.safetensors"
    save_checkpoint({"x": torch.zeros(1)}, replace(Blinking.card, family="yolox"), path)
    with pytest.raises(SettingsError, match="of family 'yolox'; allowed: temporal-head"):
        make_follower(InferSettings(temporal=str(path)))
    torn = tmp_path / "torn.safetensors"
    save_checkpoint({"x": torch.zeros(1)}, replace(Blinking.card, family=HEAD_FAMILY), torn)
    with pytest.raises(WeightsError, match="no temporal head"):
        make_follower(InferSettings(temporal=str(torn)))
    old = write_head(tmp_path / "old.safetensors", both=False, features=False)
    weights = read_state(old)
    weights["hidden.weight"] = torch.zeros(32, 57)
    save_checkpoint(weights, replace(temporal_card(old), sha256=""), old)
    with pytest.raises(WeightsError, match=r"hidden.weight has shape \(32, 57\), allowed: .*again"):
        make_follower(InferSettings(temporal=str(old)))


def test_a_run_with_another_head_is_not_resumed(clip: Path, tmp_path: Path) -> None:
    path = write_head(tmp_path / "head.safetensors", both=False, features=True)
    wanted = InferSettings(temporal=str(path))
    in_folder(clip, tmp_path / "run", wanted, stop_after=5)
    write_head(path, both=False, features=True, detector="other")
    state = {"logs": torch.zeros(9)}
    card = replace(Blinking.card, family=HEAD_FAMILY, architecture={"mode": "causal"})
    save_checkpoint(state, card, path)
    with pytest.raises(OutputError, match="is of another run: temporal is"):
        in_folder(clip, tmp_path / "run", wanted)


def film(begin: int, end: int, *, starts_s: float = 0.0) -> list[tuple[Frame, Detections]]:
    """Frames of ``Blinking`` at 10 a second on a clock that starts at ``starts_s``."""
    frames = [
        Frame.unseen(index, starts_s + (index - begin) / 10, width_px=160, height_px=120)
        for index in range(begin, end)
    ]
    return list(zip(frames, Blinking().detect(frames), strict=True))


def keep_first_file(folder: Path, wanted: InferSettings) -> None:
    first = make_follower(wanted, Blinking.classes)
    list(first.steps(film(0, CUT)))
    assert first.tracker is not None
    keep_state(folder, first.tracker, first.memory, end_s=CUT / 10)


def test_memory_continues_in_the_next_file_of_a_recording(
    tmp_path: Path, head: Callable[[str], str]
) -> None:
    for mode in ("links", "recall", "recall-both"):
        wanted = InferSettings(temporal=head(mode))
        keep_first_file(tmp_path, wanted)
        whole = list(make_follower(wanted, Blinking.classes).steps(film(0, NUM_FRAMES)))[CUT:]
        following = replace(wanted, after=str(tmp_path))
        second = film(CUT, NUM_FRAMES, starts_s=7.0)
        known = list(make_follower(following, Blinking.classes).steps(second))
        alone = list(make_follower(wanted, Blinking.classes).steps(second))
        assert [len(one.detections) for one in known] == [len(one.detections) for one in whole]
        for one, other in zip(known, whole, strict=True):
            np.testing.assert_allclose(one.detections.scores, other.detections.scores, atol=1e-6)
        assert known[0].detections != alone[0].detections, "else nothing was remembered"


def test_a_damaged_memory_of_the_file_before_is_refused(tmp_path: Path) -> None:
    wanted = InferSettings(temporal="links")
    keep_first_file(tmp_path, wanted)
    arrays = dict(np.load(tmp_path / runs.MEMORY))
    np.savez(tmp_path / runs.MEMORY, **{**arrays, "counts": arrays["counts"][:-1]})
    with pytest.raises(InputError, match=r"memory\.npz"):
        make_follower(replace(wanted, after=str(tmp_path)), Blinking.classes)
