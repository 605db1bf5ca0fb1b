"""An appearance head on the sample clips: what it leaves behind, and what is refused before."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vodkit.detect.checkpoint import load_checkpoint
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground.errors import InputError, OutputError, SettingsError
from vodkit.ground.records import Dataset
from vodkit.samples.samples import LABELS
from vodkit.train.appearance import train_appearance
from vodkit.train.appearance_data import AppearanceSettings, read_looks


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("lr", float("inf"), "above 0, finite"),
        ("lr", float("nan"), "above 0, finite"),
        ("temperature", 0.0, "above 0, finite"),
        ("seed", -1, "0 to 4294967295"),
        ("stay", 2.0, "0 to 1"),
        ("steps", -1, "0 or more"),
    ],
)
def test_a_number_out_of_range_is_told_with_the_range(name: str, value: Any, allowed: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} is {value}; allowed: {allowed}$"):
        AppearanceSettings(data="x", **{name: value})


def test_the_folder_of_another_training_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}", encoding="utf-8")
    with pytest.raises(OutputError, match=r"manifest\.json: exists already; --overwrite"):
        train_appearance(AppearanceSettings(data=str(LABELS), out=str(tmp_path)))


@pytest.mark.slow
def test_looks_are_of_the_labelled_boxes_whatever_size_the_labels_speak_of(tmp_path: Path) -> None:
    """Labels made on a copy of twice the size name the same pixels."""
    whole = read_dataset(LABELS)
    video = whole.videos[0]
    assert video.tracks is not None
    double = replace(
        video,
        info=replace(
            video.info, width_px=2 * video.info.width_px, height_px=2 * video.info.height_px
        ),
        tracks=replace(video.tracks, boxes_xyxy=2 * video.tracks.boxes_xyxy),
    )
    found = []
    for name, one in (("as it is", video), ("double", double)):
        data = tmp_path / f"{name}.json"
        write_dataset(Dataset(classes=whole.classes, videos=(one,)), data)
        root = str(LABELS.parent)
        wanted = AppearanceSettings(data=str(data), root=root, most_frames=2, views=1)
        found.append(read_looks(wanted, "", lambda *_: None)[0])
    small = found[0]
    assert len(small.tracks) == len(found[1].tracks) > 4
    assert np.allclose(small.features, found[1].features, atol=1e-4)


@pytest.mark.slow
def test_labels_of_other_pictures_are_refused(
    tmp_path: Path, make_squares: Callable[..., Path]
) -> None:
    """A folder that holds a picture more has each label on another one."""
    data = make_squares(tmp_path / "squares")
    whole = read_dataset(data)
    files = [f"{i:04}.png" for i in range(1, 8)]  # the folder begins with 0000.png
    videos = tuple(replace(video, frame_files=tuple(files)) for video in whole.videos)
    write_dataset(replace(whole, videos=videos), data)
    wanted = AppearanceSettings(data=str(data), most_frames=2, views=1)
    with pytest.raises(InputError, match=r"one: frame 0 is 0000.png, the labels are of 0001.png"):
        read_looks(wanted, "", lambda *_: None)


@pytest.mark.slow
def test_what_is_not_defined_is_no_number(tmp_path: Path) -> None:
    """Two frames of a clip: no track is seen twice, two seconds apart."""
    out = tmp_path / "run"
    wanted = AppearanceSettings(data=str(LABELS), out=str(out), most_frames=2, steps=2, views=1)
    result = train_appearance(wanted)
    told = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert (told["raw"]["auc"], told["head"]["auc"]) == (None, None)
    assert told["num_tracks"] == result.num_tracks > 1
    assert {metric.name for metric in load_checkpoint(result.checkpoint)[1].expected} == set()
    with pytest.raises(OutputError, match="exists already; --overwrite starts over"):
        train_appearance(wanted)
    before = (out / "settings.toml").read_bytes()
    with pytest.raises(SettingsError, match="nona"):
        train_appearance(replace(wanted, model="nona"), overwrite=True)
    assert (out / "settings.toml").read_bytes() == before


@pytest.mark.slow
def test_a_head_tells_tracks_apart_that_it_did_not_learn_from(tmp_path: Path) -> None:
    settings = AppearanceSettings(
        data=str(LABELS), out=str(tmp_path), most_frames=15, steps=20, val_split="test"
    )
    result = train_appearance(settings)
    assert result.held_out
    assert result.head.auc > max(result.raw.auc, 0.85)
    again = train_appearance(replace(settings, out=str(tmp_path / "again")))
    assert again.checkpoint.read_bytes() == result.checkpoint.read_bytes()
