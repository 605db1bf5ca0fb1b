"""A real FiftyOne reads what vodkit writes, and vodkit what it writes; with tracks, both ways.

    FIFTYONE_DISABLE_SERVICES=1 python tests/check_fiftyone.py [FOLDER]

FiftyOne pins other versions of OpenCV and Starlette than vodkit's tests, so it has an environment
of its own: ``pip install fiftyone vodkit``. Its database is not needed. With a FOLDER, the label
files that FiftyOne exports go there; those in ``tests/golden/fiftyone`` were made so.
"""

import os
import shutil
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

os.environ.setdefault("FIFTYONE_DISABLE_SERVICES", "1")
os.environ.setdefault("FIFTYONE_DO_NOT_TRACK", "true")

import fiftyone.utils.data as foud
import numpy as np

from vodkit.formats.base import Reading
from vodkit.formats.fiftyone_samples import from_fiftyone, to_fiftyone
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable, VideoInfo

READING = Reading(size_px=(64, 48), rate=Fraction(25))


def dataset() -> Dataset:
    """Two tracks of two classes, a hidden box, a score, an ignore region, an empty frame."""
    table = TrackTable(
        frames=[0, 0, 1, 1, 1, 3],
        times_s=np.array([0, 0, 1, 1, 1, 3]) / 25,
        ids=[1, 2, 1, 2, -1, 1],
        boxes_xyxy=[[8, 6, 16, 12], [32, 24, 48, 36], [9, 6, 17, 12], [32, 24, 48, 36],
                    [0, 0, 32, 24], [12, 6, 20, 12]],
        labels=[0, 1, 0, 1, -1, 0],
        scores=[1, 0.5, 1, 0.25, 1, 1],
        states=[0, 0, 0, 1, 0, 2],
        visibility=[1, np.nan, 0.5, np.nan, np.nan, np.nan],
        ignore=[False] * 4 + [True, False],
    )  # fmt: skip
    info = VideoInfo(
        path="clip.mp4", width_px=64, height_px=48, rate=Fraction(25), num_frames=6, duration_s=0.24
    )
    video = LabelledVideo(
        source="data/clip.mp4", info=info, tracks=table, labelled_frames=np.arange(5), split="val"
    )
    return Dataset(classes=("bee", "fly"), videos=(video,))


def require_equal(one: Dataset, two: Dataset) -> None:
    """The same classes, frames, boxes and columns; an AssertionError names what differs."""
    assert one.classes == two.classes
    for a, b in zip(one.videos, two.videos, strict=True):
        assert a.tracks is not None
        assert b.tracks is not None
        assert a.split == b.split
        np.testing.assert_array_equal(a.labelled_frames, b.labelled_frames)
        order = [np.lexsort((t.ids, t.frames)) for t in (a.tracks, b.tracks)]
        for name in ("frames", "ids", "labels", "states", "ignore"):
            seen = [getattr(t, name)[o] for t, o in zip((a.tracks, b.tracks), order, strict=True)]
            np.testing.assert_array_equal(*seen, err_msg=name)
        for name in ("boxes_xyxy", "scores", "visibility"):
            seen = [getattr(t, name)[o] for t, o in zip((a.tracks, b.tracks), order, strict=True)]
            np.testing.assert_allclose(*seen, atol=1e-4, err_msg=name)


def main() -> None:
    """All ways."""
    wanted = dataset()
    with tempfile.TemporaryDirectory() as name:
        ours, theirs = Path(name) / "ours", Path(name) / "theirs"
        write_dataset(wanted, ours, "fiftyone")
        (ours / "data").mkdir()
        (ours / "data" / "clip.mp4").write_bytes(b"")
        importer = foud.FiftyOneVideoLabelsDatasetImporter(str(ours), compute_metadata=False)
        importer.setup()
        exporter = foud.FiftyOneVideoLabelsDatasetExporter(str(theirs), pretty_print=True)
        with exporter:
            for path, _, label, frames in importer:
                print("FiftyOne reads", path, {n: list(f) for n, f in frames.items()})
                exporter.export_sample(path, label, frames)
        require_equal(wanted, read_dataset(theirs, "fiftyone", reading=READING))
        print("files: vodkit -> FiftyOne -> vodkit: equal")
        require_equal(wanted, from_fiftyone(to_fiftyone(wanted, root=name), root=name))
        print("samples: vodkit -> FiftyOne -> vodkit: equal")
        if sys.argv[1:]:
            shutil.rmtree(theirs / "data")
            shutil.copytree(theirs, sys.argv[1], dirs_exist_ok=True)


if __name__ == "__main__":
    main()
