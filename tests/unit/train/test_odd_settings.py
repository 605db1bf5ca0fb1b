"""Numbers, devices, states and videos that would turn a training around, silently or late."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from vodkit.detect.checkpoint import load_checkpoint
from vodkit.detect.devices import usable_gpu
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground.errors import InputError, SettingsError, VideoError, WeightsError
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable, VideoInfo
from vodkit.train import processes
from vodkit.train.loop import train
from vodkit.train.processes import launched
from vodkit.train.progress import watch_nothing
from vodkit.train.resume import described, footage, load_state, save_state
from vodkit.train.settings import TrainSettings
from vodkit.train.setup import prepare

TINY: dict[str, Any] = {
    "model": "yolox_nano",
    "weights": "random",
    "width_px": 32,
    "height_px": 32,
    "epochs": 1,
    "still_iou": 2.0,
    "val_split": "",
    "cache": "off",
    "device": "cpu",
}


def tiny(data: Path, out: Path, **other: Any) -> TrainSettings:
    return TrainSettings(data=str(data), out=str(out), **{**TINY, **other})


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("clip_norm", -1.0, "0 or more"),
        ("weight_decay", -1.0, "0 or more"),
        ("weight_decay", float("nan"), "0 or more"),
        ("still_iou", -1.0, "0 or more"),
        ("save_every_s", -1.0, "0 or more"),
        ("width_px", -32, "0 or more"),
        ("height_px", -32, "0 or more"),
        ("rare_share", -1.0, "0 to 1"),
        ("rare_share", 2.0, "0 to 1"),
        ("seed", -1, "0 to 4294967295"),
        ("seed", 2**70, "0 to 4294967295"),
        ("lr", float("nan"), "above 0, finite"),
        ("cache_gib", float("inf"), "above 0, finite"),
    ],
)
def test_a_number_out_of_range_is_told_with_the_range(name: str, value: Any, allowed: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{name} is {value}; allowed: {allowed}$"):
        TrainSettings(data="x", out="y", **{name: value})


def test_no_number_may_be_far_below_zero() -> None:
    """Also those that will be added."""
    known = TrainSettings(data="x", out="y")
    numbers = [name for name, value in vars(known).items() if type(value) in {int, float}]
    assert len(numbers) > 20
    for name in numbers:
        with pytest.raises(SettingsError, match=f"^{name} is -9"):
            replace(known, **dict[str, Any]({name: -9}))


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    usable_gpu.cache_clear()
    yield
    usable_gpu.cache_clear()


@pytest.mark.parametrize("device", ["tpu", "cuda:", "gpu", "cuda:x", "CPU"])
def test_an_unknown_device_is_refused_with_the_allowed_ones(device: str) -> None:
    with pytest.raises(SettingsError, match=f"device is {device}; allowed: auto, cpu, cuda"):
        TrainSettings(data="x", out="y", device=device)


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_missing_gpu_is_refused_before_the_data_is_read(device: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"device is '{device}', but torch finds no CUDA GPU"):
        train(TrainSettings(data="no such file", out=str(tmp_path), device=device))


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_a_cpu_has_no_half_precision_but_bf16(device: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"precision is 16, on cpu.*allowed there: bf16, 32"):
        train(TrainSettings(data="x", out=str(tmp_path), device=device, precision="16"))


@pytest.mark.usefixtures("no_gpu")
def test_auto_never_takes_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert launched(TrainSettings(data="x", out="y")).device.type == "cpu"


def test_precisions_that_a_device_lacks_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    half = TrainSettings(data="x", out="y", precision="bf16")
    with pytest.raises(SettingsError, match="on mps, where it is untested; allowed: 32"):
        processes._refuse_precision(half, torch.device("mps"))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    with pytest.raises(SettingsError, match="would emulate it; allowed there: 16, 32"):
        processes._refuse_precision(half, torch.device("cuda"))


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    wanted = TrainSettings(data="x", out="y", device="cuda")
    processes._refuse_too_many(wanted, 2)
    with pytest.raises(SettingsError, match="3 processes on a machine with 2 GPUs; allowed: --n"):
        processes._refuse_too_many(wanted, 3)
    with pytest.raises(SettingsError, match="device is cuda:1, in 2 processes"):
        processes._refuse_too_many(replace(wanted, device="cuda:1"), 2)


@pytest.mark.slow
@pytest.mark.parametrize("words", [{"batch_size": 1}, {"batch_size": 4, "accumulate": 4}])
def test_one_picture_at_a_time_is_refused_where_a_norm_sees_one_pixel(
    square_data: Path, tmp_path: Path, words: dict[str, int]
) -> None:
    """32 px become a single one at the end of YOLOX's backbone."""
    wanted = tiny(square_data, tmp_path / "run", freeze="none", **words)
    allowed = r"see a single pixel; allowed: fixed_norms=true, or a batch_size of \d or more"
    with pytest.raises(SettingsError, match=allowed):
        train(wanted)
    prepare(replace(wanted, fixed_norms=True), torch.device("cpu"), watch_nothing)
    prepare(replace(wanted, width_px=64), torch.device("cpu"), watch_nothing)


def test_ssdlite_ends_in_one_pixel_at_its_own_size(square_data: Path, tmp_path: Path) -> None:
    own = {"model": "ssdlite320_mobilenet_v3_large", "width_px": 0, "height_px": 0}
    with pytest.raises(SettingsError, match="320x320 px at a time, 4 norms"):
        train(tiny(square_data, tmp_path / "run", batch_size=1, **own))


@pytest.mark.slow
def test_norms_that_will_thaw_are_looked_at_too(square_data: Path, tmp_path: Path) -> None:
    """RetinaNet's head has no batch norms, but its backbone has."""
    own = {"model": "retinanet_resnet50_fpn_v2", "batch_size": 1, "epochs": 2}
    with pytest.raises(SettingsError, match=r"norms \(backbone\.\S+\) see a single pixel"):
        train(tiny(square_data, tmp_path / "run", thaw_every=1, **own))


@pytest.mark.parametrize(
    "content",
    [b"garbage, not a state", b"\x80\x02" + bytes(range(64)), b""],
    ids=["words", "pickle", "empty"],
)
def test_a_state_that_is_none_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state.pt").write_bytes(content)
    with pytest.raises(WeightsError, match=r"state\.pt: cannot read the state: "):
        load_state(tmp_path / "state.pt", parts=["step"])


def test_something_else_in_place_of_a_state_is_told(tmp_path: Path) -> None:
    torch.save(torch.zeros(3), tmp_path / "state.pt")
    with pytest.raises(WeightsError, match=r"holds a Tensor; allowed: a training's state"):
        load_state(tmp_path / "state.pt", parts=["step"])
    (tmp_path / "state.pt").unlink()  # vodkit replaces no file that it did not write
    save_state(tmp_path / "state.pt", {"step": 3})
    assert load_state(tmp_path / "state.pt", parts=["step"]) == {"step": 3}
    with pytest.raises(InputError, match=r"another version of vodkit began \(missing: rows\)"):
        load_state(tmp_path / "state.pt", parts=["step", "rows"])


def about(*, ids: tuple[int, int] = (1, 2), **info: Any) -> dict[str, str]:
    size = {"width_px": 64, "height_px": 48, "num_frames": 2, **info}
    tracks = TrackTable(
        frames=np.arange(2),
        times_s=np.arange(2) / 10,
        ids=np.asarray(ids),
        boxes_xyxy=np.array([[1, 2, 3, 4]] * 2),
        labels=np.zeros(2),
    )
    video = LabelledVideo(
        source="a", info=VideoInfo(path="a", rate=Fraction(10), **size), tracks=tracks
    )
    return described(Dataset(classes=("x",), videos=(video,)))


def test_a_recording_in_both_splits_is_compared_on_either_side(
    square_data: Path, tmp_path: Path
) -> None:
    whole = read_dataset(square_data)
    one, tracks = whole.videos[0], whole.videos[0].tracks
    assert tracks is not None
    sides = [
        replace(
            one, split=split, labelled_frames=frames, tracks=tracks[np.isin(tracks.frames, frames)]
        )
        for split, frames in (("train", np.arange(4)), ("val", np.arange(4, 8)))
    ]
    write_dataset(replace(whole, videos=tuple(sides)), tmp_path / "cut.json")
    wanted = tiny(tmp_path / "cut.json", Path(), val_split="val", root=str(square_data.parent))
    made = prepare(wanted, torch.device("cpu"), watch_nothing)
    names = {"classes", "video one, train", "video one, val", "pixels of one"}
    assert set(made.about) == names


def test_one_frame_is_no_validation(square_data: Path) -> None:
    with pytest.raises(InputError, match=r"'val' has 1 labelled frame; allowed: 2 or more"):
        prepare(_one_for_validation(square_data, frames=1), torch.device("cpu"), watch_nothing)
    prepare(_one_for_validation(square_data, frames=2), torch.device("cpu"), watch_nothing)


def _one_for_validation(square_data: Path, *, frames: int) -> TrainSettings:
    """Settings whose validation side has so many labelled frames."""
    whole = read_dataset(square_data)
    one, two = whole.only("train").videos
    assert two.tracks is not None
    few = np.arange(frames)
    cut = replace(
        two, split="val", labelled_frames=few, tracks=two.tracks[np.isin(two.tracks.frames, few)]
    )
    path = square_data.parent / f"validate-{frames}.json"
    write_dataset(replace(whole, videos=(replace(one, split="train"), cut)), path)
    return tiny(path, Path(), val_split="val")


def test_few_labels_are_said_and_many_are_not(square_data: Path) -> None:
    told: list[str] = []
    prepare(tiny(square_data, Path()), torch.device("cpu"), lambda step: told.extend(step.told))
    assert any(line.startswith("few labels (16 frames, ") for line in told)


def test_a_validation_on_what_is_learnt_from_says_so(square_data: Path) -> None:
    told: list[str] = []
    wanted = tiny(square_data, Path(), val_split="train")
    prepare(wanted, torch.device("cpu"), lambda progress: told.extend(progress.told))
    assert "to validate on: 16 frames with 16 boxes of 2 videos, which are learnt from" in told


@pytest.mark.parametrize(
    "change", [{"ids": (1, 1)}, {"width_px": 65}, {"height_px": 49}, {"num_frames": 3}]
)
def test_what_changes_the_pictures_or_their_boxes_changes_the_digest(
    change: dict[str, Any],
) -> None:
    assert about() == about()
    assert about() != about(**change)


def test_a_picture_changed_for_one_of_the_same_size_changes_the_digest(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    info = VideoInfo(path="a", width_px=8, height_px=8, rate=Fraction(10), num_frames=2)
    dataset = Dataset(classes=("x",), videos=(LabelledVideo(source="a", info=info),))
    seen = []
    for grey in (0, 9, 0):
        for name in ("0.bmp", "1.bmp"):
            cv2.imwrite(str(folder / name), np.full((8, 8, 3), grey * int(name[0]), np.uint8))
        seen.append(footage(dataset, tmp_path)["pixels of a"])
    assert seen[0] == seen[2] != seen[1]
    (folder / "2.bmp").symlink_to(tmp_path / "nowhere.bmp")
    with pytest.raises(VideoError, match=r"2\.bmp: cannot be read: No such file"):
        footage(dataset, tmp_path)


@pytest.mark.slow
def test_the_card_tells_once_that_validation_was_thinned(square_data: Path, tmp_path: Path) -> None:
    train(tiny(square_data, tmp_path / "run", every=3, val_split="val", batch_size=2))
    text = (tmp_path / "run" / "best.card.json").read_text(encoding="utf-8")
    assert text.count("one labelled frame in 3 of split val") == 2  # AP and AP50


def test_here_is_no_name_but_its_folders(
    square_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = prepare(tiny(square_data, Path()), torch.device("cpu"), watch_nothing)
    assert made.card.name == tmp_path.name


@pytest.mark.slow
def test_a_video_damaged_in_the_middle_is_left_out(tmp_path: Path, make_squares: Any) -> None:
    data = make_squares(tmp_path / "data", frames=4)
    (tmp_path / "data" / "one" / "0001.png").write_bytes(b"not a picture")
    wanted = tiny(data, tmp_path / "run", skip_broken=True, batch_size=2)
    result = train(wanted)
    assert result.left_out == ("one",)
    with pytest.raises(VideoError, match=r"0001\.png.*; skip_broken=true leaves such videos out"):
        train(replace(wanted, skip_broken=False, out=str(tmp_path / "strict")))
    assert "1 videos, 4 frames" in load_checkpoint(result.checkpoint)[1].trained[-1].data
    assert len(read_dataset(data).only("train").videos) == 2


@pytest.mark.slow
def test_what_a_worker_meets_is_told_as_it_is(tmp_path: Path, make_squares: Any) -> None:
    """Torch would make a RuntimeError of it, with the worker's traceback in one line."""
    data = make_squares(tmp_path / "data", frames=4)
    (tmp_path / "data" / "one" / "0001.png").write_bytes(b"not a picture")
    seen = r"^[^ ]*0001\.png: is no picture that can be decoded; is it cut off\?; "
    hint = rf"{seen}skip_broken=true [a-z ]*$"
    with pytest.raises(VideoError, match=hint):
        train(tiny(data, tmp_path / "run", batch_size=2, workers=1))
