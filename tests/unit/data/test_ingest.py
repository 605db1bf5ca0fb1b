"""Labels find the videos they belong to."""

from pathlib import Path

import pytest

from vodkit.data.ingest import ingest
from vodkit.formats.base import Reading
from vodkit.ground.errors import FormatError
from vodkit.samples.samples import CLIP_B


@pytest.mark.slow
def test_a_sequence_folder_takes_the_video_that_is_given(tmp_path: Path) -> None:
    for name in ("one", "both/a", "both/b"):
        (tmp_path / name / "gt").mkdir(parents=True)
        (tmp_path / name / "gt" / "gt.txt").write_text("1,1,10,10,20,40,1,1,1\n")
    told = Reading(source=str(CLIP_B), labelled="listed")
    video = ingest(tmp_path / "one", "mot", reading=told).dataset.videos[0]
    assert (video.info.width_px, Path(video.source).name) == (768, CLIP_B.name)
    with pytest.raises(FormatError, match="holds 2 sequences; --video names the video of one"):
        ingest(tmp_path / "both", "mot", reading=told)


def test_a_video_found_by_its_name_tells_that_labels_are_sparse(tmp_path: Path) -> None:
    (tmp_path / "plaza_b.mp4").symlink_to(CLIP_B)
    labels = tmp_path / "plaza_b.txt"
    labels.write_text("1,1,10,10,30,40,1,1,1\n2,1,11,10,30,40,1,1,1\n")
    with pytest.raises(FormatError, match="2 of 120 frames have a box"):
        ingest(labels, "mot")
    done = ingest(labels, "mot", reading=Reading(labelled="listed"))
    frames = done.dataset.videos[0].labelled_frames
    assert frames is not None
    assert frames.tolist() == [0, 1]
