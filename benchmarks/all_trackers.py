"""Every tracker on every domain: HOTA, DetA, AssA, MOTA, IDF1, id switches, and the mean.

    python benchmarks/all_trackers.py                    # all trackers, all domains
    python benchmarks/all_trackers.py vodkit --set life.lost_s=2 --domains mot17 kitti --json
    python benchmarks/all_trackers.py --check                    # the scores equal TrackEval's

Domains: MOT15 (six sequences, weak detector), MOT17 (validation halves, YOLOX), DanceTrack, KITTI
(cars and pedestrians from a moving car), PETS09-S2L1, two flies and the plaza clips with boxes of
our own detectors, made-up streets (``walkers.py``), and the truth of real videos with noise. One
set of defaults for all. Each tracker runs without camera motion and with the recorded one. The
online rows are those of ``vodkit track``, the refined ones those of ``vodkit refine``, both with
the predicted and filled boxes that count (``p_present`` above one half). Scenes run in parallel;
results are kept under build/trackers by the hash of the tracker's source.
"""

import argparse
import contextlib
import hashlib
import io
import json
import pickle
import sys
import tempfile
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

import vodkit.track
from track_domains import CACHE, DOMAINS, KITTI_CLASSES, Counts, Scene, count, scenes, shortened
from vodkit.formats.predictions import COUNTED_ABOVE
from vodkit.ground.records import State, TrackTable
from vodkit.track.lifecycle import backfill
from vodkit.track.refine import refine
from vodkit.track.table import make_tracker

TRACKERS = {
    "vodkit": ["vodkit"],
    "ByteTrack": ["bytetrack"],
    "OC-SORT": ["ocsort"],
    "BoT-SORT": ["botsort"],
    "SORT": ["sort"],
    **{
        f"Roboflow {kind}": ["roboflow", f"kind={kind}"]
        for kind in ("sort", "bytetrack", "ocsort", "botsort", "cbiou")
    },
}
SHOWN = ("HOTA", "DetA", "AssA", "MOTA", "IDF1", "IDSW")


def follow(scene: Scene, words: list[str], *, motion: bool) -> TrackTable:
    """The tracks of a scene, with first detections filled back in as files have them."""
    tracker = make_tracker(words[0], words[1:])
    steps = (
        (
            frame,
            found,
            tracker.step(
                frame,
                found,
                embeddings=found.embeddings,
                camera_motion=scene.motion.get(frame.index) if motion else None,
            ),
        )
        for frame, found in scene.steps
    )
    return TrackTable.from_frames([(f.index, f.time_s, tracks) for f, _, tracks in backfill(steps)])


def counted(table: TrackTable) -> TrackTable:
    """The rows that count: observed, or probably present (``formats.predictions.counted``)."""
    return table[(table.states == State.OBSERVED) | (table.p_present > COUNTED_ABOVE)]


def measure(scene: Scene, words: list[str], *, motion: bool) -> dict[str, dict[str, Counts]]:
    """Counts of one scene: kind of row (online, refined), then domain."""
    table = follow(scene, words, motion=motion)
    clock = {frame.index: frame.time_s for frame, _ in scene.steps}
    kinds = {"online": counted(table), "refined": counted(refine(table, clock=clock))}
    return {kind: count(scene, rows) for kind, rows in kinds.items()}


def _job(job: tuple[str, int, list[str], bool, int, str]) -> dict[str, dict[str, Counts]]:
    domain, place, words, motion, most, key = job
    path = CACHE / "results" / f"{key}.pickle"
    if path.exists():
        return pickle.loads(path.read_bytes())
    found = measure(shortened(scenes(domain)[place], most), words, motion=motion)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(found))
    return found


def _source_hash(name: str) -> str:
    folder = Path(vodkit.track.__file__).parent
    used = sorted(folder.glob("*.py"))
    if name == "roboflow":  # theirs: our own trackers have no part in it
        used = [folder / "roboflow.py", folder / "refine.py", folder / "tracklet_linking.py"]
    used += [Path(__file__), Path(__file__).parent / "track_domains.py"]
    return hashlib.sha256(b"".join(path.read_bytes() for path in used)).hexdigest()


def run(
    words: list[str],
    domains: list[str],
    *,
    motion: bool,
    pool: ProcessPoolExecutor,
    most: int = sys.maxsize,
) -> dict[str, dict[str, dict[str, float]]]:
    """Scores of one tracker on at most ``most`` frames a scene: kind of row, then domain."""
    jobs = []
    for domain in domains:
        for place, scene in enumerate(scenes(domain)):
            if motion and not scene.motion and len(scenes(domain)) == 1:
                continue
            key = json.dumps([_source_hash(words[0]), domain, scene.name, words, motion, most])
            name = hashlib.sha256(key.encode()).hexdigest()
            jobs.append((domain, place, words, motion, most, name))
    total: dict[str, dict[str, Counts]] = {"online": {}, "refined": {}}
    for found in pool.map(_job, jobs):
        for kind, by_domain in found.items():
            for domain, counts in by_domain.items():
                known = total[kind].get(domain)
                total[kind][domain] = counts if known is None else known + counts
    return {
        kind: {domain: counts.scores() for domain, counts in by_domain.items()}
        for kind, by_domain in total.items()
    }


def lines(name: str, scores: dict[str, dict[str, float]]) -> list[str]:
    """Rows of a table: one a domain, and the mean over domains."""
    rows = [
        f"| {name} | {domain} | " + " | ".join(f"{one[s]:g}" for s in SHOWN) + " |"
        for domain, one in scores.items()
    ]
    mean = (f"{np.mean([one[s] for one in scores.values()]):.2f}" for s in SHOWN)
    return [*rows, f"| {name} | mean | " + " | ".join(mean) + " |"]


def check(domain: str) -> dict[str, float]:
    """The largest difference of a score to TrackEval's, over its domains (mot15, mot17, kitti)."""
    tables = {s.name: counted(follow(s, ["vodkit"], motion=False)) for s in scenes(domain)}
    ours: dict[str, Counts] = {}
    for scene in scenes(domain):
        for name, counts in count(scene, tables[scene.name]).items():
            ours[name] = counts + ours[name] if name in ours else counts
    theirs = _trackeval(domain, tables)
    off: dict[str, float] = {}
    for name, counts in ours.items():
        numbers = counts.scores()
        off[name] = max(abs(numbers[key] - value) for key, value in theirs[name].items())
    return off


def _trackeval(domain: str, tables: dict[str, TrackTable]) -> dict[str, dict[str, float]]:
    with (
        tempfile.TemporaryDirectory() as folder,
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        import trackeval

        out = Path(folder) / "ours" / "data"
        out.mkdir(parents=True)
        for name, table in tables.items():
            (out / f"{name}.txt").write_text(
                _kitti_text(table) if domain == "kitti" else _mot_text(table)
            )
        common = {"TRACKERS_FOLDER": folder, "TRACKERS_TO_EVAL": ["ours"], "PRINT_CONFIG": False}
        if domain == "kitti":
            dataset = trackeval.datasets.Kitti2DBox(_kitti_config(Path(folder)) | common)
        else:
            size = {scene.name: len(scene.steps) for scene in scenes(domain)}
            root = Path(scenes(domain)[0].folder).parent
            dataset = trackeval.datasets.MotChallenge2DBox(
                common
                | {
                    "GT_FOLDER": str(root), "BENCHMARK": scenes(domain)[0].rules,
                    "SPLIT_TO_EVAL": "train", "SKIP_SPLIT_FOL": True, "SEQ_INFO": size,
                    "GT_LOC_FORMAT": "{gt_folder}/{seq}/gt/gt.txt",
                    "DO_PREPROC": domain != "mot15",
                }
            )  # fmt: skip
        quiet = ("PRINT_RESULTS", "PRINT_CONFIG", "OUTPUT_SUMMARY", "OUTPUT_DETAILED",
                 "PLOT_CURVES", "TIME_PROGRESS", "OUTPUT_EMPTY_CLASSES")  # fmt: skip
        evaluator = trackeval.Evaluator(dict.fromkeys(quiet, False) | {"BREAK_ON_ERROR": True})
        metrics = [
            trackeval.metrics.HOTA(),
            trackeval.metrics.CLEAR({"PRINT_CONFIG": False}),
            trackeval.metrics.Identity({"PRINT_CONFIG": False}),
        ]
        found = evaluator.evaluate([dataset], metrics)[0][dataset.get_name()]["ours"]
    total = found["COMBINED_SEQ"]
    names = (
        {f"kitti-{c}": c for c in ("car", "pedestrian")}
        if domain == "kitti"
        else {domain: "pedestrian"}
    )
    return {name: _their_scores(total[kind]) for name, kind in names.items()}


def _their_scores(found) -> dict[str, float]:
    scores = {name: 100 * float(found["HOTA"][name].mean()) for name in ("HOTA", "DetA", "AssA")}
    scores |= {"MOTA": 100 * float(found["CLEAR"]["MOTA"])}
    scores |= {"IDF1": 100 * float(found["Identity"]["IDF1"])}
    return scores | {"IDSW": float(found["CLEAR"]["IDSW"])}


def _mot_text(table: TrackTable) -> str:
    box = table.boxes_xyxy
    rows = np.column_stack(
        [table.frames + 1, table.ids, box[:, :2], box[:, 2:] - box[:, :2], table.scores]
    )
    return "".join(",".join(f"{v:.9g}" for v in row) + ",-1,-1,-1\n" for row in rows)


def _kitti_text(table: TrackTable) -> str:
    rows = zip(table.frames, table.ids, table.labels, table.boxes_xyxy, table.scores, strict=True)
    return "".join(
        f"{f} {i} {KITTI_CLASSES[k].capitalize()} 0 0 -10 {' '.join(f'{v:.9g}' for v in box)}"
        f" -1 -1 -1 -1000 -1000 -1000 -10 {s:.6g}\n"
        for f, i, k, box, s in rows
    )


def _kitti_config(folder: Path) -> dict[str, object]:
    truth = Path(scenes("kitti")[0].folder)
    (folder / "truth").mkdir()
    (folder / "truth" / "label_02").symlink_to(truth / "label_02")
    text = "".join(f"{s.name} empty 000000 {len(s.steps):06d}\n" for s in scenes("kitti"))
    (folder / "truth" / "evaluate_tracking.seqmap.training").write_text(text)
    return {"GT_FOLDER": str(folder / "truth"), "CLASSES_TO_EVAL": ["car", "pedestrian"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="default: all; --set needs one name")
    parser.add_argument("--set", action="append", default=[], dest="words")
    parser.add_argument("--domains", nargs="+", default=list(DOMAINS), choices=list(DOMAINS))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--motion", choices=("none", "given", "both"), default="both")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    if given.check:
        for domain in ("mot15", "mot17", "kitti"):
            print(json.dumps({"largest difference to TrackEval": check(domain)}), flush=True)
        return
    motions = {"none": (False,), "given": (True,), "both": (False, True)}[given.motion]
    with ProcessPoolExecutor(given.jobs) as pool:
        for name in given.names or TRACKERS:
            words = [*TRACKERS.get(name, [name]), *given.words]
            for motion in motions:
                if motion and words[0] == "roboflow":
                    continue
                for kind, scores in run(words, given.domains, motion=motion, pool=pool).items():
                    label = f"{name}, {kind}" + (", camera motion given" if motion else "")
                    if given.json:
                        print(json.dumps({"tracker": label, **scores}), flush=True)
                    else:
                        print("\n".join(lines(label, scores)), flush=True)


if __name__ == "__main__":
    main()
