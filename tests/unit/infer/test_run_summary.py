"""The end of a run in words, and the line about a faster runtime."""

import sys
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vodkit.benchmark import faster as module
from vodkit.benchmark.faster import Faster, _compared, faster
from vodkit.cli.run_summary import _faster, _found, _losses, _nothing, _speed, lines_of, next_words
from vodkit.ground.records import Detections
from vodkit.infer.batch import Batch
from vodkit.infer.settings import InferSettings
from vodkit.samples.samples import CLIP_B
from vodkit.video.reader import open_video
from vodkit.video.writer import VideoWriter

COUNTS = {
    "num_frames": 100, "num_fresh": 40, "seconds": 2.0, "runtime": "openvino on cpu",
    "boxes_by_class": {"car": 3, "person": 90, "dog": 0},
    "tracks_by_class": {"person": 1, "car": 2},
    "rows_by_state": {"observed": 93, "predicted": 4, "filled": 0},
    "num_unconfirmed": 1, "num_truncated": 2,
}  # fmt: skip


def test_the_summary_counts_what_is_new_and_names_what_is_left_out() -> None:
    words = "40 frames in 2.0 s (20.0 frames/s) with openvino on cpu; 60 more were done before"
    assert _speed(COUNTS) == words
    found = [*_found(COUNTS, tracks=True)]
    assert found == [
        "found: person 1 track, 90 boxes; car 2 tracks, 3 boxes",
        "rows: 93 observed, 4 predicted, 0 filled",
    ]
    assert [*_found(COUNTS, tracks=False)] == ["found: person 90 boxes; car 3 boxes"]
    left_out, truncated = _losses(COUNTS)
    assert left_out == "left out: 1 row of tracks that were never confirmed"
    assert "2 frames had more detections than are kept" in truncated


def test_nothing_found_names_what_may_help_but_not_what_is_on() -> None:
    line = _nothing(InferSettings(classes=("car",), score_threshold=0.4))
    assert all(word in line for word in ("it is 0.4", "--tiles auto", "than car", "--model"))
    assert "--tiles" not in _nothing(InferSettings(tiles="2x2"))


def test_a_faster_runtime_is_compared_box_by_box() -> None:
    ours = Detections(np.array([[0, 0, 10, 10], [50, 50, 60, 60.0]]), np.array([0.9, 0.5]), [0, 0])
    theirs = Detections(
        np.array([[0, 0, 10, 12.0], [80, 80, 90, 90]]), np.array([0.7, 0.4]), [0, 0]
    )
    seen = _compared([ours], [theirs], runtime="openvino-bf16", gain=1.9)
    assert (seen.num_boxes, seen.num_unpaired) == (2, 2)
    assert seen.median_px == pytest.approx(2)
    assert seen.median_score == pytest.approx(0.2)
    assert "ran 1.9x as fast" in seen.line()


def test_it_is_measured_once_for_each_weights_and_never_unasked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VODKIT_CACHE", str(tmp_path / "cache"))
    calls: list[str] = []

    def measured(source: str, *_: object) -> Faster:
        calls.append(source)
        return Faster(runtime="openvino-bf16", times_as_fast=2.0)

    monkeypatch.setattr(module, "_measured", measured)
    weights = tmp_path / "best.safetensors"
    weights.write_bytes(b"one")
    settings = InferSettings(model=str(weights))
    ran = "openvino on cpu"
    assert faster("a.mp4", settings, ran, measure=False) is None
    assert faster("a.mp4", settings, ran, measure=True) == faster(
        "b.mp4", settings, ran, measure=False
    )
    assert calls == ["a.mp4"]
    weights.write_bytes(b"two")  # trained again under the same name
    assert faster("c.mp4", settings, ran, measure=False) is None
    for other in ("torch on cuda:0", "openvino-bf16 on cpu", "python on cpu"):
        assert faster("a.mp4", settings, other, measure=True) is None
    assert calls == ["a.mp4"]


@pytest.mark.parametrize(
    ("seconds", "is_terminal", "measures"),
    [(19.9, True, False), (20.0, True, True), (20.0, False, False)],
)
def test_it_is_measured_after_a_long_run_on_a_terminal_under_a_bar(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    seconds: float,
    is_terminal: bool,
    measures: bool,
) -> None:
    monkeypatch.setenv("VODKIT_CACHE", str(tmp_path))
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    ran = SimpleNamespace(source=str(CLIP_B), runtime="python on cpu", summary={"seconds": seconds})
    monkeypatch.setitem(module.ROUNDED, "python", "nonsense")
    assert [*_faster(ran, InferSettings())] == []
    said = capsys.readouterr().err
    assert ("measuring runtime nonsense 0/4 steps" in said) == measures, said


@pytest.mark.slow
def test_tracks_too_short_to_be_confirmed_are_not_reported_as_nothing(tmp_path: Path) -> None:
    """As in a folder of two pictures."""
    wanted = InferSettings(model="vodkit-street", runtime="openvino", device="cpu", cuts=False)
    with (
        VideoWriter(tmp_path / "two.mp4", width_px=768, height_px=576, rate=10) as writer,
        open_video(CLIP_B) as video,
    ):
        for frame in islice(video.frames(), 2):
            writer.write(frame.image, frame.time_s)
    (done,) = Batch([str(tmp_path / "two.mp4")], wanted, out=tmp_path / "runs").run()
    lines = [*lines_of(done.folder.path)]
    assert "left out: " in lines[1]
    assert "no track lasted long enough to be confirmed: vodkit detect" in lines[2]
    assert not any("nothing was found" in line for line in lines)
    assert [words[:2] for words in next_words(done.folder.path)] == [["vodkit", "detect"]]
