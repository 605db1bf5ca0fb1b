"""Embeddings of a run find the tracks that their detections became."""

from fractions import Fraction

import numpy as np
import pytest

from vodkit.formats.embeddings import EmbeddingFile, looks_beside
from vodkit.formats.predictions import Header, PredictionWriter, read_predictions
from vodkit.ground.errors import FormatError, OutputError
from vodkit.ground.records import Detections, State, Tracks, VideoInfo
from vodkit.ground.runs import DETECTIONS, EMBEDDINGS, PREDICTIONS

INFO = VideoInfo(path="a.mp4", width_px=640, height_px=480, rate=Fraction(10))


def write_run(folder, *, num_frames=4, looks=True):
    """Four detections a frame in shuffled order, of which two are tracked; one more is predicted.

    The embedding of a detection is (frame, number of the object). Two detections are one box, as
    two classes.
    """
    rng = np.random.default_rng(0)
    header = Header(
        source="a.mp4", classes=("fly", "moth"), info=INFO, detector="d", tracker="vodkit"
    )
    raw = Header(source="a.mp4", classes=("fly", "moth"), info=INFO, detector="d")
    with (
        PredictionWriter(folder / PREDICTIONS, header) as out,
        PredictionWriter(folder / DETECTIONS, raw) as before,
    ):
        for i in range(num_frames):
            objects = rng.permutation([0, 1, 2, 2])
            moved = rng.normal(0, 1e-3, (3, 4))[objects]
            boxes = moved + [[10, 10, 30, 30]] + 100 * objects[:, None]
            twice = np.flatnonzero(objects == 2)
            labels = np.zeros(4, int)
            labels[twice[1]] = 1
            found = Detections(boxes, [0.9] * 4, labels)
            if looks:
                with EmbeddingFile(folder / EMBEDDINGS) as file:
                    if i:
                        file.take(4 * i)
                    file.append(np.column_stack([np.full(4, i + 1), objects]).astype(np.float32))
            before.write(i, i / 10, found)
            order = np.argsort(objects)[:2]
            tracked = np.concatenate([found.boxes_xyxy[order], [[5, 5, 6, 6]]])
            states = [State.OBSERVED, State.OBSERVED, State.PREDICTED]
            out.write(i, i / 10, Tracks(tracked, [0.9] * 3, [0] * 3, [1, 2, 3], states))
    return folder / PREDICTIONS


def test_every_observed_box_finds_its_own_row(tmp_path):
    path = write_run(tmp_path)
    table = read_predictions(path).table
    looks = looks_beside(path, table)
    assert looks is not None
    for frame, own, state, row in zip(table.frames, table.ids, table.states, looks, strict=True):
        wanted = [frame + 1, own - 1] if state == State.OBSERVED else [0, 0]
        assert row.tolist() == wanted


def test_runs_that_did_not_look_have_none_and_torn_files_are_refused(tmp_path):
    path = write_run(tmp_path, looks=False)
    table = read_predictions(path).table
    assert looks_beside(path, table) is None
    with EmbeddingFile(tmp_path / EMBEDDINGS) as file:
        file.append(np.ones((5, 2), np.float32))
    with pytest.raises(FormatError, match="5 rows for 16 detections"):
        looks_beside(path, table)


def test_a_full_disk_is_one_error_of_ours(tmp_path):
    """Closing writes what is left, and fails once more: that must not hide the error that said so.

    A limit on the size of files stands for the full disk: the same write fails, by another number.
    """
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    try:
        with (
            pytest.raises(OutputError, match=r"embeddings.bin: cannot write"),
            EmbeddingFile(tmp_path / EMBEDDINGS) as file,
        ):
            file.append(np.zeros((700, 32), np.float32))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
