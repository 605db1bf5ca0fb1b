"""Frames and clips from videos: exact, in a fixed order, and never more memory than allowed."""

from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch

from vodkit.data.frame_reader import FrameReader
from vodkit.data.loader import (
    ClipDataset,
    FrameDataset,
    RunSampler,
    TrainingViews,
    batches,
    clips_around,
    clips_by_sampler,
)
from vodkit.data.sampling import (
    RUN,
    WINDOW,
    Key,
    chunks,
    clip_frames,
    epoch_order,
    labelled_keys,
    reference_frames,
    repeat_factors,
    runs_of,
    whole_batches,
)
from vodkit.data.transforms import Augment
from vodkit.ground.errors import InputError
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable, VideoInfo

SIDE, FRAMES = 32, 20


def numbered(folder: Path, name: str, first_grey: int) -> LabelledVideo:
    """Frame i is grey level ``first_grey + i`` all over."""
    (folder / name).mkdir()
    for i in range(FRAMES):
        cv2.imwrite(
            str(folder / name / f"{i:03d}.png"), np.full((SIDE, SIDE, 3), first_grey + i, np.uint8)
        )
    x = np.arange(FRAMES) * 1.0
    return LabelledVideo(
        source=name,
        info=VideoInfo(
            path=name, width_px=SIDE, height_px=SIDE, rate=Fraction(10), num_frames=FRAMES
        ),
        tracks=TrackTable(
            frames=np.arange(FRAMES),
            times_s=x / 10,
            ids=np.ones(FRAMES),
            boxes_xyxy=np.stack([x, x, x + 8, x + 8], axis=1),
            labels=np.arange(FRAMES) % 2,
        ),
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Path]:
    folder = tmp_path_factory.mktemp("numbered")
    videos = (numbered(folder, "a", 0), numbered(folder, "b", 100))
    return Dataset(classes=("even", "odd"), videos=videos), folder


def grey(key: Key) -> int:
    return 100 * key.video + key.frame


def test_every_sample_is_its_own_frame_with_its_own_box(made: tuple[Dataset, Path]) -> None:
    frames = FrameDataset(*made, size_for=lambda _w, _h: (64, 64))
    for i in (0, 7, 39, 20, 19):
        image, target = frames[i]
        key = frames.keys[i]
        assert image.shape == (3, 64, 64)
        assert (image == grey(key)).all()
        wanted = torch.tensor([key.frame, key.frame, key.frame + 8, key.frame + 8]) * 2.0
        assert torch.equal(target["boxes"][0].as_subclass(torch.Tensor), wanted.clamp(max=64))
        assert target["labels"].tolist() == [key.frame % 2]
        side = float(wanted.clamp(max=64)[2] - wanted[0])
        assert target["area"].tolist() == [side * float(wanted.clamp(max=64)[3] - wanted[1])]
    assert frames.name(21) == "b, frame 1"


def test_labels_count_from_one_for_torchvisions_models(made: tuple[Dataset, Path]) -> None:
    assert FrameDataset(*made, first_label=1)[1][1]["labels"].tolist() == [2]


def test_the_cache_stays_in_its_bound(made: tuple[Dataset, Path]) -> None:
    frames = FrameDataset(*made, cache_mib=10 * SIDE * SIDE * 3 / 2**20)
    for i in np.random.default_rng(0).permutation(40):
        assert (frames[int(i)][0] == grey(frames.keys[i])).all()
        assert len(frames.reader._frames) <= 10
        assert frames.reader._bytes == sum(x.nbytes for x, _ in frames.reader._frames.values())


def test_what_is_mixed_fits_the_cache(made: tuple[Dataset, Path]) -> None:
    """Of large pictures fewer are kept, so fewer are mixed; of small ones always as many."""

    def room(side: int) -> int:
        return FrameDataset(*made, size_for=lambda _w, _h: (side, side)).reader.room

    assert room(416) * 416 * 416 * 3 == pytest.approx(256 * 2**20, rel=0.01)
    assert room(1000) == WINDOW + RUN
    assert room(4000) * 4000 * 4000 * 3 == pytest.approx(1024 * 2**20, rel=0.05)
    small = FrameDataset(*made, cache_mib=12 * SIDE * SIDE * 3 / 2**20)
    assert {len(run) for run in small.runs} == {3, 2}  # four at a time
    first = small.order(seed=0, epoch=0)[:12]
    assert len({next(n for n, run in enumerate(small.runs) if i in run) for i in first}) == 4
    assert sorted(small.order(seed=0, epoch=0)) == list(range(40))


def test_shards_share_out_all_samples(made: tuple[Dataset, Path]) -> None:
    frames = FrameDataset(*made, run_length=6)
    parts = [frames.shard(i, 3) for i in range(3)]
    assert sorted(key for part in parts for key in part.keys) == frames.keys
    assert (parts[2][0][0] == grey(parts[2].keys[0])).all()
    with pytest.raises(InputError, match="shard 3 of 3"):
        frames.shard(3, 3)


def all_images(views: TrainingViews, *, workers: int, skip: int = 0, world: int = 1) -> list[str]:
    """What each batch looks like; the parts of several processes put together."""
    order = whole_batches(epoch_order(views.frames.runs, seed=3, epoch=1), batch_size=4, count=10)
    parts = []
    for rank in range(world):
        todo = list(
            chunks(
                order,
                epoch=1,
                batch_size=4,
                batches_per_chunk=3,
                skip_batches=skip,
                rank=rank,
                world=world,
            )
        )
        parts.append(list(batches(views, todo, batch_size=4 // world, workers=workers)))
    together = [[e for piece in pieces for e in piece] for pieces in zip(*parts, strict=True)]
    return [
        str([(e.index, int(e.image.sum()), e.boxes_xyxy.tolist()) for e in b]) for b in together
    ]


def test_an_epoch_is_the_same_for_any_workers_processes_and_restart(
    made: tuple[Dataset, Path],
) -> None:
    augment = Augment(mosaic=0.3, copy_paste=0.3)
    views = TrainingViews(FrameDataset(*made), (SIDE, SIDE), augment=augment, seed=3)
    whole = all_images(views, workers=0)
    assert len(whole) == 10
    assert len(set(whole)) == 10
    assert all_images(views, workers=2) == whole
    assert all_images(views, workers=0, world=2) == whole
    assert all_images(views, workers=0, skip=4) == whole[4:]


def test_an_epoch_has_every_sample_once_in_another_order_each_time() -> None:
    runs = [range(i, i + 5) for i in range(0, 100, 5)]
    orders = [epoch_order(runs, seed=0, epoch=e, window=20) for e in range(3)]
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert not (orders[0] == orders[1]).all()
    assert (orders[0] == epoch_order(runs, seed=0, epoch=0, window=20)).all()
    for start in range(0, 100, 20):  # a window's samples come from four runs
        assert len({i // 5 for i in orders[0][start : start + 20]}) == 4


def test_frames_in_which_nothing_moves_are_left_out(made: tuple[Dataset, Path]) -> None:
    dataset, _ = made
    assert len(labelled_keys(dataset)) == 40
    assert len(labelled_keys(dataset, every=4)) == 10
    kept = labelled_keys(dataset, still_iou=0.5)  # 1 px of 8 is IoU 0.62, 2 px 0.39
    assert [key.frame for key in kept if key.video == 0] == list(range(0, 20, 2))
    keys = [Key(0, i) for i in range(5)] + [Key(1, 0)]
    assert runs_of(keys, length=3) == [range(3), range(3, 5), range(5, 6)]


def test_rare_classes_come_more_often() -> None:
    labels = [np.array([0])] * 99 + [np.array([0, 1])]
    factors = repeat_factors(labels, 2, 0.04)
    assert factors[0] == 1
    assert factors[-1] == pytest.approx(2)
    order = epoch_order([range(100)], seed=0, epoch=0, repeats=factors)
    assert (order == 99).sum() == 2


def test_clip_and_reference_frames_stay_in_the_video() -> None:
    assert clip_frames(1, num_frames=10, length=5, step=2) == [0, 0, 1, 3, 5]
    rng = np.random.default_rng(0)
    for key in (0, 5, 9):
        chosen = reference_frames(key, num_frames=10, count=4, reach=3, rng=rng)
        assert key not in chosen
        assert chosen == sorted(set(chosen)) or key in {0, 9}
        assert all(0 <= frame < 10 and abs(frame - key) <= 3 for frame in chosen)
    assert reference_frames(0, num_frames=1, count=2, reach=3, rng=rng) == [0, 0]


def test_clips_around_key_frames(made: tuple[Dataset, Path]) -> None:
    dataset, root = made
    keys = [Key(0, 5), Key(1, 18)]
    clips = clips_around(keys, lambda key: clip_frames(key.frame, num_frames=20, length=3, step=1))
    video, targets = ClipDataset(dataset, root, clips=clips)[1]
    assert video.shape == (3, 3, SIDE, SIDE)
    assert [int(frame.float().mean()) for frame in video] == [117, 118, 119]
    assert [target["boxes"][0, 0].item() for target in targets] == [17, 18, 19]


@pytest.mark.parametrize(("room", "batch"), [(None, 3), (12, 1)], ids=["all fit", "12 fit"])
def test_a_run_is_decoded_once_in_an_epoch_by_runs(
    made: tuple[Dataset, Path], monkeypatch: pytest.MonkeyPatch, room: int | None, batch: int
) -> None:
    cache_mib = None if room is None else room * SIDE * SIDE * 3 / 2**20
    decoded: list[Key] = []
    keep = FrameReader._keep
    monkeypatch.setattr(
        FrameReader,
        "_keep",
        lambda self, key, image: (decoded.append(key), keep(self, key, image))[1],
    )
    dataset, root = made
    frames = FrameDataset(dataset, root, run_length=7, cache_mib=cache_mib)
    around = [Key(v, f) for v in (1, 0) for f in (19, 3, 12)]
    clips = clips_around(
        around, lambda key: clip_frames(key.frame, num_frames=20, length=4, step=1)
    )
    for whole in (frames, ClipDataset(dataset, root, clips=clips, cache_mib=cache_mib)):
        sampler = RunSampler(whole, seed=5)
        loader = torch.utils.data.DataLoader(
            whole, sampler=sampler, batch_size=batch, collate_fn=len
        )
        assert sum(loader) == len(sampler) == len(whole)
        assert len(decoded) == len(set(decoded)) > 0
        decoded.clear()
        first = list(sampler)
        sampler.set_epoch(1)
        assert sorted(first) == sorted(sampler)
        assert first != list(sampler)


class ClipInfo(NamedTuple):
    """What a PyTorchVideo sampler gives."""

    clip_start_sec: Fraction
    clip_end_sec: Fraction
    clip_index: int
    aug_index: int
    is_last_clip: bool


def test_a_clip_sampler_cuts_by_time(made: tuple[Dataset, Path]) -> None:
    def half_seconds(end: Fraction, duration: Fraction, _annotation: object) -> ClipInfo:
        start = Fraction(end or 0)
        stop = start + Fraction(1, 2)
        return ClipInfo(start, stop, 0, 0, stop + Fraction(1, 2) > duration)

    clips = clips_by_sampler(half_seconds, made[0])
    assert clips[:4] == [(0, list(range(i, i + 5))) for i in (0, 5, 10, 15)]
    assert len(clips) == 8


def test_pytorchvideos_own_sampler_is_taken(made: tuple[Dataset, Path]) -> None:
    sampling = pytest.importorskip("pytorchvideo.data.clip_sampling")
    clips = clips_by_sampler(sampling.make_clip_sampler("uniform", Fraction(1, 2)), made[0])
    assert [frame for number, frames in clips if number == 1 for frame in frames] == list(range(20))


def test_a_labelled_frame_that_is_not_there_is_named(made: tuple[Dataset, Path]) -> None:
    dataset, root = made
    video = dataset.videos[0]
    longer = LabelledVideo(
        source="a",
        info=VideoInfo(path="a", width_px=SIDE, height_px=SIDE, rate=Fraction(10), num_frames=99),
        tracks=video.tracks,
        labelled_frames=np.array([3, 50]),
    )
    frames = FrameDataset(Dataset(classes=("even", "odd"), videos=(longer,)), root)
    with pytest.raises(InputError, match="50"):
        frames[1]
