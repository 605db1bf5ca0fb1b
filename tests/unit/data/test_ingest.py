"""Labels find the videos they belong to."""

import shutil
from pathlib import Path

import pytest

from vodkit.data.ingest import ingest, read_with_videos
from vodkit.formats.base import Reading
from vodkit.formats.table import read_dataset
from vodkit.ground.errors import FormatError, UnknownSizeError
from vodkit.samples.samples import CLIP_B, LABELS


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


def test_labels_without_sizes_are_read_with_the_video_of_their_name(tmp_path: Path) -> None:
    labels = tmp_path / "a.txt"
    labels.write_text("".join(f"{k},1,10,20,30,40,1,1,1\n" for k in range(1, 121)))
    with pytest.raises(UnknownSizeError, match=r"no video is at .*vodkit data import"):
        read_with_videos(labels)
    shutil.copy(CLIP_B, tmp_path / "a.mp4")
    dataset, notes = read_with_videos(labels)
    (video,) = dataset.videos
    assert video.source == "a.mp4"
    assert (video.info.width_px, video.info.num_frames) == (768, 120)
    assert notes[0] == "a.txt: labels of a.mp4, found by name"
    assert any("120" in note for note in notes[1:]), "the account"
    assert read_with_videos(LABELS) == (read_dataset(LABELS), ())
    labels.write_text("".join(f"{k},1,10,20,30,40,1,1,1\n" for k in range(1, 5)))
    with pytest.raises(FormatError, match=r"4 of 120 frames have a box.*--labelled"):
        read_with_videos(labels)
