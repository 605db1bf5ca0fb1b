"""Every way to use other frames side by side, with intervals: the table of E1, E2 and E4.

python benchmarks/temporal_recall.py ../shared/data --out candidates
python benchmarks/temporal_still.py ../shared/data --out candidates
python benchmarks/temporal_table.py ../shared/data candidates [--seeds 3] [--domains pets tud]

For PETS09-S2L1, TUD-Campus, a dancer, and two flies (``features-*.npz``), clean and with three of
ten frames degraded: AP50, AP50 of the degraded frames, each with a 95 % interval over blocks of
frames and the paired difference to the still detector; flicker and false alarms a minute at a
recall of 0.8; HOTA of the default tracker on the boxes, without pixels. Fitted rules (``repp``,
``head``, ``tuned``) never saw the domain they are measured on; ``head`` and ``tuned`` have several
seeds, of which means are given. What is missing in the folder is left out. One JSON line each.
"""

import argparse
import json
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from temporal_links import (
    TRUTH,
    Recorded,
    Video,
    ap,
    by_track,
    linked,
    mean_so_far,
    median_of_three,
    numbers,
    seq_nms,
    still,
)
from temporal_recall import STAGE, keys_of, others_of, quiet, run, with_features
from temporal_repp import chosen, rescored
from vodkit.detect.weights import read_state
from vodkit.ground.records import Detections, Frame
from vodkit.metrics.bootstrap import BootstrapSettings, draw, interval, make_units, replicate_ap
from vodkit.metrics.clips import Clip
from vodkit.metrics.detection.ap import clip_columns
from vodkit.metrics.detection.match import coco_verdicts
from vodkit.metrics.tracking.summary import combine, count_clip
from vodkit.temporal.links import LinkSettings
from vodkit.track.table import make_tracker
from vodkit.train.temporal import CHECKPOINT, fit
from vodkit.train.temporal_data import TemporalSettings

DRAWS = BootstrapSettings(resamples=200)
LEAST = 0.05
"""score below which a tracker is given no boxes, as by default"""
FLIES = "sequences/flies/two_flies_gt.txt"
Method = Callable[[Video], list[Detections]]


def replicates(clip: Clip) -> tuple[np.ndarray, int]:
    """AP50 in every resample of blocks, and how many blocks there are."""
    columns = clip_columns((clip,))
    units = make_units((clip,), DRAWS)
    verdicts = coco_verdicts(*columns, num_classes=1, thresholds=np.array([0.5]))
    draws = draw(len(units.clips), DRAWS)
    return replicate_ap(verdicts, units, draws, num_classes=1)[0], len(units.clips)


def hota(video: Recorded, found: Sequence[Detections]) -> float:
    """Of the default tracker on these boxes."""
    tracker, tracks = make_tracker("vodkit"), []
    for number, ((time_s, _), one) in enumerate(zip(video.frames, found, strict=True)):
        kept = one[one.scores >= LEAST]
        frame = Frame.unseen(number, time_s, width_px=4096, height_px=4096)
        tracks.append(tracker.step(frame, replace(kept, features=None)))
    clip = video.tracked_clip([one[one.states == 0] for one in tracks])
    return combine({"clip": count_clip(clip, 1)}, ("thing",)).overall.hota.hota


class Measured:
    """One method on one video: values and resamples, over seeds."""

    def __init__(self, video: Recorded, seeds: Sequence[list[Detections]]) -> None:
        """``seeds``: what the method found, a list for each seed."""
        clips = [video.clip(one) for one in seeds]
        parts = {"AP50": clips}
        if len(video.bad):
            parts["AP50 degraded"] = [one.of_frames(video.bad) for one in clips]
        self.values = {name: [ap(one)[0] for one in each] for name, each in parts.items()}
        drawn = {name: [replicates(one) for one in each] for name, each in parts.items()}
        self.drawn = {name: np.mean([x for x, _ in each], axis=0) for name, each in drawn.items()}
        self.units = {name: each[0][1] for name, each in drawn.items()}
        more = [numbers(video, one) for one in seeds]
        wanted = ("AP", "flicker", "false alarms/min at recall 0.8", "lag_ms")
        self.more = {key: _mean([one[key] for one in more]) for key in wanted}
        self.more["HOTA"] = _mean([hota(video, one) for one in seeds])

    def line(self, than: "Measured | None") -> dict[str, object]:
        """What is printed; ``than``: the still detector, for paired differences."""
        out: dict[str, object] = {}
        for name, values in self.values.items():
            mean = float(np.mean(values))
            out[name] = [round(mean, 4), *self._span(name, mean, self.drawn[name])]
            if len(values) > 1:
                out[f"{name} seeds"] = [round(one, 4) for one in values]
            if than is not None:
                gap = mean - float(np.mean(than.values[name]))
                drawn = self.drawn[name] - than.drawn[name]
                out[f"{name} gain"] = [round(gap, 4), *self._span(name, gap, drawn)]
        return out | {k: None if v is None else round(v, 4) for k, v in self.more.items()}

    def _span(self, name: str, value: float, drawn: np.ndarray) -> list[float]:
        found = interval(value, drawn, num_units=self.units[name], recentre=True)
        return [] if found is None else [round(found.low, 4), round(found.high, 4)]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [one for one in values if one is not None]
    return float(np.mean(known)) if known else None


def bare(video: Video) -> Video:
    return [(time_s, replace(one, features=None)) for time_s, one in video]


def methods(
    domain: str, video: Recorded, others: Sequence[Recorded], options: argparse.Namespace
) -> Iterator[tuple[str, list[list[Detections]]]]:
    """What each method finds, over its seeds."""
    plain = bare(video.frames)
    rules: dict[str, Method] = {
        "still": still,
        "median of three": by_track(median_of_three),
        "tracker": by_track(mean_so_far),
        "seq-nms": seq_nms,
        "links": linked(LinkSettings(), both=False),
        "links-both": linked(LinkSettings(), both=True),
    }
    if others:
        rules["repp"] = partial(rescored, chosen(others))
    for name, rule in rules.items():
        if name == "still" or not options.only or name in options.only:
            yield name, [rule(plain)]
    kind = video.name.rsplit("-", 1)[1]
    truth = options.data / (FLIES if domain == "flies" else TRUTH[domain])
    places = [
        options.candidates / f"tuned{seed}-{domain}-{kind}.npz" for seed in range(options.seeds)
    ]
    label = "fly" if domain == "flies" else "person"
    tuned = [Recorded(one, truth, label) for one in places if one.exists()]
    if tuned:
        yield "tuned", [still(one.frames) for one in tuned]
    for mode in options.modes:
        found = [run(head, wanted, video) for head, wanted in heads(domain, mode, options)]
        if found:
            yield f"head, {mode}", found


def heads(
    domain: str, mode: str, options: argparse.Namespace
) -> Iterator[tuple[Mapping[str, Tensor], TemporalSettings]]:
    """Weights of trained heads that never saw the domain; kept in the folder.

    Those of flies are of another detector; ``temporal_still.py`` trains them.
    """
    for seed in range(options.seeds):
        wanted = TemporalSettings(data="", mode=mode, seed=seed, stages=STAGE)
        if domain == "flies":
            trained = options.candidates / f"head-flies-{mode}-{seed}" / CHECKPOINT
            if trained.exists():
                yield read_state(trained), wanted
            continue
        kept = options.candidates / f"head-{domain}-{mode}-{seed}.pickle"
        if not kept.exists():
            learnt = [
                key
                for one in others_of(domain)
                for key in keys_of(one, wanted, options.data, options.candidates)
            ]
            kept.write_bytes(pickle.dumps(fit(wanted, learnt, quiet)))
        yield pickle.loads(kept.read_bytes()).weights(), wanted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("candidates", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--domains", nargs="+", default=[*TRUTH, "flies"])
    parser.add_argument("--modes", nargs="*", default=["causal", "both"])
    parser.add_argument("--only", nargs="+", default=[], help="rules beside still; heads: --modes")
    options = parser.parse_args()
    videos: dict[str, list[Recorded]] = {}
    for domain in dict.fromkeys([*TRUTH, *options.domains]):
        truth = options.data / (FLIES if domain == "flies" else TRUTH[domain])
        label = "fly" if domain == "flies" else "person"
        places = [options.candidates / f"features-{domain}-{kind}.npz" for kind in ("clean", "bad")]
        videos[domain] = [with_features(one, truth, label) for one in places if one.exists()]
    for domain in options.domains:
        others = [one for name in TRUTH if name != domain for one in videos[name]]
        for one in others:
            one.frames = bare(one.frames)
        for video in videos[domain]:
            than: Measured | None = None
            for name, found in methods(domain, video, others, options):
                seen = Measured(video, found)
                line = {"video": video.name, "method": name, **seen.line(than)}
                print(json.dumps(line), flush=True)
                than = than or seen


if __name__ == "__main__":
    main()
