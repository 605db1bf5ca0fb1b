"""Detectors for the baselines of temporal detection: fine-tuned alone, without memory.

python benchmarks/temporal_still.py ../shared/data --out candidates [--seeds 3] [--domains pets]

For each domain left out, vodkit-street is fine-tuned on up to 100 frames of each other domain and
of the sample clips, each as it is and as a degraded copy (blur, noise, patches: what ``train
--temporal`` learns from). Candidates of the domain left out are recorded as they are and with three
of ten frames degraded, as ``tuned0-pets-clean.npz``.

For flies (``--domains flies``) vodkit-street is fine-tuned on every hundredth frame of ``clip.mp4``
and a temporal head is trained for it on other frames; candidates of ``two_flies.mp4`` are recorded
as ``features-flies-clean.npz``, and of the tuned ones with the same degraded copies.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from temporal_candidates import VIDEOS
from temporal_candidates import record as record_bare
from temporal_links import TRUTH
from temporal_recall import labels, others_of, record
from vodkit.data.degrade import degraded
from vodkit.data.frame_reader import open_labelled
from vodkit.data.sampling import labelled_keys
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground.records import Dataset, LabelledVideo
from vodkit.samples.samples import LABELS
from vodkit.train.loop import train
from vodkit.train.settings import TrainSettings
from vodkit.train.temporal import train_temporal
from vodkit.train.temporal_data import TemporalSettings

MOST = 100
FLIES = {
    "clip": ("sequences/flies/clip.mp4", "sequences/flies/clip_gt.txt"),
    "flies": ("sequences/flies/two_flies.mp4", "sequences/flies/two_flies_gt.txt"),
}
FEW = 100  # every hundredth frame of the flies is labelled


def pictures_of(
    video: LabelledVideo, root: Path, out: Path, name: str, frames: np.ndarray, *, worse: bool
) -> LabelledVideo:
    """Some frames of a video as files, as they are or degraded, and their labels."""
    assert video.tracks is not None
    rng, folder = np.random.default_rng(0), out / name
    folder.mkdir(parents=True, exist_ok=True)
    files = [f"{frame:05d}.jpg" for frame in frames]
    with open_labelled(video, root) as opened:
        for file, frame in zip(files, opened.frames_at([int(f) for f in frames]), strict=True):
            image = degraded(frame.image, rng) if worse else frame.image
            size = (video.info.width_px, video.info.height_px)
            cv2.imwrite(str(folder / file), cv2.resize(image, size)[..., ::-1])
    rows = np.isin(video.tracks.frames, frames)
    tracks = video.tracks[rows]
    tracks = replace(tracks, frames=np.searchsorted(frames, tracks.frames))
    info = replace(video.info, path=name, num_frames=len(files))
    return LabelledVideo(
        source=name, info=info, tracks=tracks, split="train", frame_files=tuple(files)
    )


def material(domains: list[str], data: Path, out: Path) -> Path:
    """Frames of these domains, each as it is and degraded, as a dataset file."""
    videos = []
    for domain in domains:
        root = LABELS.parent if domain == "plaza" else data
        place = LABELS if domain == "plaza" else labels(domain, data, out)
        for number, video in enumerate(read_dataset(place).videos):
            alone = Dataset(classes=("person",), videos=(video,))
            keys = np.unique([key.frame for key in labelled_keys(alone)])
            most = MOST // 2 if domain == "plaza" else MOST
            chosen = keys[np.unique(np.linspace(0, len(keys) - 1, most).astype(int))]
            for worse in (False, True):
                name = f"{domain}{number}-{'worse' if worse else 'clean'}"
                videos.append(pictures_of(video, root, out / "still", name, chosen, worse=worse))
    path = out / "still" / f"{'-'.join(domains)}.json"
    write_dataset(Dataset(classes=("person",), videos=tuple(videos)), path, "cocovid")
    return path


def tuned(data: Path, out: Path, **more: object) -> Path:
    """A detector fine-tuned on a dataset; as fast as its features can be stored."""
    settings = TrainSettings(
        data=str(data), out=str(out), val_split="", still_iou=2.0, plain_epochs=1, **more
    )  # type: ignore[arg-type]
    return train(settings, overwrite=True).checkpoint


def flies(data: Path, out: Path, seeds: int) -> None:
    """A detector of flies of few labels, a head for it, and their candidates."""
    place = labels("clip", data, out, FLIES["clip"], "fly")
    whole = read_dataset(place).videos[0]
    few = np.arange(0, whole.info.num_frames or 0, FEW)
    (out / "still").mkdir(exist_ok=True)
    for kinds in ((False,), (False, True)):
        names = ["fly-worse" if worse else "fly-clean" for worse in kinds]
        videos = [
            pictures_of(whole, data, out / "still", name, few, worse=worse)
            for name, worse in zip(names, kinds, strict=True)
        ]
        one = Dataset(classes=("fly",), videos=tuple(videos))
        write_dataset(one, out / "still" / f"fly{len(kinds)}.json", "cocovid")
    model = tuned(out / "still" / "fly1.json", out / "still" / "run-fly", epochs=60)
    for bad in (False, True):
        kind = "bad" if bad else "clean"
        to = out / f"features-flies-{kind}.npz"
        record(data / FLIES["flies"][0], to, 32, bad=bad, model=str(model), name="fly")
    for seed in range(seeds):
        again = tuned(
            out / "still" / "fly2.json", out / "still" / f"run-fly-{seed}", epochs=30, seed=seed
        )
        for bad in (False, True):
            to = out / f"tuned{seed}-flies-{'bad' if bad else 'clean'}.npz"
            record_bare(data / FLIES["flies"][0], to, str(again), bad=bad)
        for mode in ("causal", "both"):
            settings = TemporalSettings(
                data=str(place), root=str(data), model=str(model), mode=mode, seed=seed,
                out=str(out / f"head-flies-{mode}-{seed}"), most_frames=100,
            )  # fmt: skip
            train_temporal(settings, overwrite=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--domains", nargs="+", default=[*TRUTH, "flies"])
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if "flies" in options.domains:
        flies(options.data, options.out, options.seeds)
    for domain in (one for one in options.domains if one != "flies"):
        place = material(others_of(domain), options.data, options.out)
        for seed in range(options.seeds):
            run = options.out / "still" / f"run-{domain}-{seed}"
            model = tuned(place, run, epochs=6, seed=seed)
            for bad in (False, True):
                to = options.out / f"tuned{seed}-{domain}-{'bad' if bad else 'clean'}.npz"
                record_bare(options.data / VIDEOS[domain], to, str(model), bad=bad)


if __name__ == "__main__":
    main()
