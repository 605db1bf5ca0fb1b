"""Temporal links in a run: one answer from library, folder, resumed run and any batch size."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from vodkit.detect.base import Detector, ModelCard, Output, Preprocessing
from vodkit.formats.predictions import read_frames
from vodkit.ground import runs
from vodkit.ground.errors import SettingsError, VideoError
from vodkit.ground.records import Detections, Frame
from vodkit.infer.flow import detect_video, track_video
from vodkit.infer.folder import RunFolder
from vodkit.infer.follow import make_follower
from vodkit.infer.run import run_source
from vodkit.infer.settings import InferSettings
from vodkit.video.synth import Scene, SceneSettings, write_scene

NUM_FRAMES = 40
CUT = 20
MODES = ("links", "links-both")


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
        return Detections(table[:, :4], table[:, 4], np.zeros(len(table), np.int64))


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


@pytest.mark.parametrize("mode", MODES)
def test_weak_frames_of_a_steady_object_are_found(clip: Path, mode: str) -> None:
    still = scores(detect_video(clip, Blinking(least=0.05)))
    linked = scores(detect_video(clip, Blinking(), settings=InferSettings(temporal=mode)))
    assert list(linked) == list(range(NUM_FRAMES))
    for index in range(7, NUM_FRAMES, 4):
        assert len(still[index]) == 0
        assert linked[index][0] > 0.3
    assert np.float32(0.4) in linked[30]  # nothing fits the flash: its score is untouched


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("tracker", ["vodkit", "none"])
def test_library_folder_and_resumed_run_agree(
    clip: Path, tmp_path: Path, mode: str, tracker: str
) -> None:
    wanted = InferSettings(temporal=mode, tracker=tracker)
    whole = in_folder(clip, tmp_path / "whole", wanted)
    for stop_after in (1, 25):
        part = tmp_path / f"stopped-{stop_after}"
        in_folder(clip, part, wanted, stop_after=stop_after)
        for name in (runs.PREDICTIONS, runs.DETECTIONS):
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


@pytest.mark.parametrize("mode", MODES)
def test_batches_change_nothing(clip: Path, tmp_path: Path, mode: str) -> None:
    one, eight = (
        in_folder(clip, tmp_path / f"{size}", InferSettings(temporal=mode, batch_size=size))
        for size in (1, 8)
    )
    assert one.read_bytes() == eight.read_bytes()


def test_frame_by_frame_is_the_same_as_live_sources_are(clip: Path) -> None:
    wanted = InferSettings(temporal="links")
    follower = make_follower(wanted)
    detector = Blinking()
    for frame, _, tracks in track_video(clip, detector, settings=wanted):
        assert follower.step(frame, detector.detect([frame])[0]).tracks == tracks


def test_two_cameras_in_turn_are_two_runs(clip: Path) -> None:
    wanted = InferSettings(temporal="links")
    alone = [x.tracks for x in make_follower(wanted).steps(detect_video(clip, Blinking()))]
    one, two = make_follower(wanted), make_follower(wanted)
    for number, (frame, found) in enumerate(detect_video(clip, Blinking())):
        for follower in (one, two):
            assert follower.step(frame, found).tracks == alone[number]


@pytest.mark.parametrize("mode", MODES)
def test_a_cut_is_a_fresh_start(mode: str) -> None:
    """A white picture between black ones: the memory of before is not asked afterwards."""
    wanted, detector = InferSettings(temporal=mode), Blinking()

    def frames(begin: int) -> Iterator[tuple[Frame, Detections]]:
        for index in range(begin, NUM_FRAMES):
            image = np.full((60, 80, 3), 250 if index >= CUT else 5, np.uint8)
            frame = Frame(index, index / 10, image, 160, 120)
            yield frame, detector.detect([frame])[0]

    follower = make_follower(wanted)
    whole = list(follower.steps(frames(0)))
    assert follower.num_cuts == 1
    after = list(make_follower(wanted).steps(frames(CUT)))
    for one, two in zip(whole[CUT:], after, strict=True):
        assert one.detections == two.detections


@pytest.mark.parametrize("mode", MODES)
def test_a_video_that_breaks_off_gives_every_frame_before(mode: str) -> None:
    detector = Blinking()

    def frames() -> Iterator[tuple[Frame, Detections]]:
        for index in range(12):
            frame = Frame.unseen(index, index / 10, width_px=160, height_px=120)
            yield frame, detector.detect([frame])[0]
        raise VideoError("cut off", path="a.mp4")

    steps = make_follower(InferSettings(temporal=mode)).steps(frames())
    seen = []
    with pytest.raises(VideoError):  # noqa: PT012
        for step in steps:
            seen.append(step.frame.index)  # noqa: PERF401 - those before the error
    assert seen == list(range(12))


def test_an_empty_video_and_a_single_frame() -> None:
    for mode in MODES:
        follower = make_follower(InferSettings(temporal=mode))
        assert list(follower.steps([])) == []
        frame = Frame.unseen(0, 0.0, width_px=160, height_px=120)
        found = Blinking(least=0.05).detect([frame])[0]
        (only,) = make_follower(InferSettings(temporal=mode)).steps([(frame, found)])
        assert only.detections == found


@pytest.mark.parametrize(
    "wrong",
    [
        {"temporal": "yes"},
        {"temporal": "links", "tiles": "auto"},
        {"temporal": "links-both", "every": "auto"},
    ],
)
def test_what_does_not_go_together_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="allowed"):
        InferSettings(**wrong)  # type: ignore[arg-type]
