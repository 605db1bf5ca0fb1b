"""HOTA of the default tracker with temporal links, over many objects and thinned detections.

python benchmarks/temporal_recall.py ../shared/data --out candidates
python benchmarks/temporal_tracks.py ../shared/data candidates [--domains pets tud plaza dance ...]

One exchanged identity changes HOTA of a short video by several points. So each recorded video
(PETS, TUD, the dancer, the sample clips; clean and degraded) is tracked several times, each time
without another random fiftieth of its candidates, equal for all methods; given are the mean and its
standard error. DanceTrack and MOT17 have boxes of strong detectors (``shared/data/tracking``), of
which the first frames are tracked once. No pixels, no camera motion; observed boxes alone count.

Methods: ``still``; ``links`` and ``links-both`` as ``vodkit track --temporal`` gives them to the
tracker; ``(scores)``: the same, but the tracker takes the linked scores for those of the frame.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from temporal_candidates import record
from temporal_links import TRUTH, Recorded, Video, linked, still
from track_domains import Scene, count, scenes, shortened
from vodkit.formats.table import read_dataset
from vodkit.ground.records import Detections, Frame, State, Tracks, TrackTable
from vodkit.metrics.tracking.hota import HotaCounts, hota_scores
from vodkit.metrics.tracking.summary import combine, count_clip
from vodkit.samples import samples
from vodkit.temporal.links import LinkSettings
from vodkit.track.table import make_tracker

LEAST, THINNED = 0.05, 0.02
STRONG = ("dance", "mot17")
"""domains of ``track_domains``; the dancer is ``dancer`` here"""


def tracked(frames: Sequence[Frame], found: Sequence[Detections]) -> list[Tracks]:
    """What the default tracker observes."""
    tracker, tracks = make_tracker("vodkit"), []
    for frame, one in zip(frames, found, strict=True):
        kept = replace(one[one.scores >= LEAST], features=None)
        seen = tracker.step(frame, kept)
        tracks.append(seen[seen.states == State.OBSERVED])
    return tracks


def methods(video: Video) -> Iterator[tuple[str, list[Detections]]]:
    """The detections of each method."""
    yield "still", still(video)
    for name, both in (("links", False), ("links-both", True)):
        found = linked(LinkSettings(), both=both)(video)
        yield name, found
        yield f"{name} (scores)", [replace(one, still_scores=None) for one in found]


def thinned(video: Video, seed: int) -> Video:
    rng = np.random.default_rng(seed)
    return [(time_s, one[rng.random(len(one)) >= THINNED]) for time_s, one in video]


def recorded(domain: str, data: Path, candidates: Path) -> Iterator[Recorded]:
    """The videos of a domain, clean and degraded."""
    if domain != "plaza":
        name = {"dancer": "dance"}.get(domain, domain)
        for kind in ("clean", "bad"):
            yield Recorded(candidates / f"features-{name}-{kind}.npz", data / TRUTH[name])
        return
    for one in read_dataset(samples.LABELS).videos:
        stem, tracks = Path(one.source).stem, one.tracks
        assert tracks is not None
        sides = tracks.boxes_xyxy[:, 2:] - tracks.boxes_xyxy[:, :2]
        ones = np.ones(len(tracks))
        columns = (tracks.frames + 1, tracks.ids, tracks.boxes_xyxy[:, :2], sides, ones)
        np.savetxt(candidates / f"{stem}.txt", np.column_stack(columns), delimiter=",")
        for bad in (False, True):
            out = candidates / f"street-{stem}-{'bad' if bad else 'clean'}.npz"
            if not out.exists():
                record(samples.LABELS.parent / f"{stem}.mp4", out, "vodkit-street", bad=bad)
            yield Recorded(out, candidates / f"{stem}.txt")


def of_recorded(video: Recorded, runs: int) -> Iterator[tuple[str, list[float]]]:
    """HOTA of each method in each run."""
    found: dict[str, list[float]] = {}
    for seed in range(runs):
        some = thinned(video.frames, seed)
        frames = [
            Frame.unseen(n, t, width_px=4096, height_px=4096) for n, (t, _) in enumerate(some)
        ]
        for name, one in methods(some):
            clip = video.tracked_clip(tracked(frames, one))
            overall = combine({"clip": count_clip(clip, 1)}, ("thing",)).overall
            found.setdefault(name, []).append(100 * float(overall.hota.hota or 0))
    yield from found.items()


def of_scenes(domain: str, most: int) -> Iterator[tuple[str, list[float]]]:
    """HOTA of each method over all scenes of a domain."""
    counts: dict[str, HotaCounts] = {}
    for whole in scenes(domain):
        scene: Scene = shortened(whole, most)
        frames = [frame for frame, _ in scene.steps]
        for name, one in methods([(frame.time_s, found) for frame, found in scene.steps]):
            rows = zip(frames, tracked(frames, one), strict=True)
            table = TrackTable.from_frames([(f.index, f.time_s, seen) for f, seen in rows])
            for part in count(scene, table).values():
                counts[name] = counts[name] + part.hota if name in counts else part.hota
    for name, sums in counts.items():
        yield name, [100 * float(hota_scores(sums).hota or 0)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("candidates", type=Path)
    everything = ["pets", "tud", "dancer", "plaza", *STRONG]
    parser.add_argument("--domains", nargs="+", default=everything, choices=everything)
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--most", type=int, default=250, help="frames of DanceTrack and MOT17")
    options = parser.parse_args()
    for domain in options.domains:
        if domain in STRONG:
            results = [(domain, of_scenes(domain, options.most))]
        else:
            videos = recorded(domain, options.data, options.candidates)
            results = [(video.name, of_recorded(video, options.runs)) for video in videos]
        for name, found in results:
            for method, values in found:
                line = {"video": name, "method": method, "HOTA": round(float(np.mean(values)), 2)}
                if len(values) > 1:
                    line["error"] = round(float(np.std(values, ddof=1) / len(values) ** 0.5), 2)
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
