"""Many workers on one tree: killed at random, run again when finished, and as actors of Ray.

    python benchmarks/bench_fleet.py kill [--rounds 50] [--seed 0]
    python benchmarks/bench_fleet.py rerun [--videos 1000]
    python benchmarks/bench_fleet.py ray [--videos 24]

kill: workers that claim videos are killed (SIGKILL) at random moments, with a corrupt, an absent
and an empty file among the sources, and a video that ends its process; when a tree is finished it
must equal that of one process, with exactly these four failures, and a new tree begins.
rerun: the command line on a tree in which everything is finished.
ray: two actors against two plain processes with a shard each, without the time to start.
"""

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from vodkit.fleet.crew import Crew
from vodkit.fleet.on_ray import RayCrew
from vodkit.fleet.settings import FleetSettings
from vodkit.fleet.sources import Item, items_of
from vodkit.fleet.tree import Record, Tree
from vodkit.fleet.worker import Worker
from vodkit.formats.predictions import Header
from vodkit.ground.process import settle, use_threads
from vodkit.infer.filming import Drawing
from vodkit.infer.settings import InferSettings
from vodkit.samples.samples import CLIP_B
from vodkit.video.fingerprint import version_of
from vodkit.video.reader import open_video
from vodkit.video.writer import VideoWriter

SETTINGS = InferSettings(runtime="openvino", device="cpu")  # processes start without torch
RESULTS = ("predictions.jsonl", "detections.jsonl", "events.jsonl", "predictions.csv")
KILLS = "VODKIT_BENCHMARK_KILLS"


def films(folder: Path, count: int, length: int = 5) -> None:
    """Short clips of the sample."""
    folder.mkdir()
    with open_video(CLIP_B) as video:
        frames = [np.ascontiguousarray(one.image[::2, ::2]) for one in islice(video.frames(), 60)]
    for number in range(count):
        with VideoWriter(
            folder / f"{number:04}.mp4", width_px=384, height_px=288, rate=10
        ) as writer:
            for index in range(length + number % 4):
                writer.write(frames[(number + index) % len(frames)], index / 10)


def record(folder: Path, *more: str) -> Record:
    """All clips of a folder, with the settings of this benchmark."""
    return Record(settings=SETTINGS, sources=(f"{folder}/*.mp4", *more))


def deadly(path: Path, header: Header, source: str) -> Drawing:
    """Make a film; in one source it ends the process, as a fault of a codec would."""
    count = 0
    while (yield) is not None:
        count += 1
        if count == 2 and "deadly" in source and KILLS in os.environ:
            os.kill(os.getpid(), signal.SIGKILL)
    path.write_text(header.detector)
    return ()


def work(out: Path, mine: Record, fleet: FleetSettings) -> None:
    """A worker, to its end."""
    for _ in Crew(str(out), mine, fleet, film=deadly).run():
        pass


def started(out: Path, mine: Record, fleet: FleetSettings) -> int:
    """A worker in a process of its own; its number."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work(out, mine, fleet)
    finally:
        os._exit(0)


def results(tree: Path) -> dict[str, bytes]:
    """What must not differ, by path."""
    return {
        str(path.relative_to(tree)): path.read_bytes()
        for name in RESULTS
        for path in tree.glob(f"*/{name}")
        if (path.parent / "manifest.json").exists() and "deadly" not in path.parent.name
    }


def kill(place: Path, rounds: int, seed: int, pause_s: float) -> None:
    """The campaign."""
    chance, counts = random.Random(seed), Counter[str]()
    films(place / "films", 6, length=2)
    shutil.copyfile(place / "films" / "0005.mp4", place / "films" / "deadly.mp4")
    (place / "films" / "corrupt.mp4").write_bytes(b"no video " * 99)
    (place / "films" / "empty.mp4").write_bytes(b"")
    mine = record(place / "films", f"{place}/films/absent.mp4")
    mine = replace(mine, exports=("csv", "video"))
    fleet = FleetSettings(claim=True, pause_s=0.0)
    # No detector is loaded in this process: what is forked later could not use its threads.
    os.waitpid(started(place / "whole", mine, FleetSettings(shard="0/1")), 0)
    os.environ[KILLS] = "1"
    whole = results(place / "whole")
    assert len(whole) == 6 * len(RESULTS), sorted(whole)
    number = 0
    for _ in range(rounds):
        out = place / f"tree{number}"
        workers = [started(out, mine, fleet) for _ in range(2)]
        time.sleep(chance.uniform(0.5, pause_s))
        for pid in workers if chance.random() < 0.5 else workers[:1]:
            os.kill(pid, signal.SIGKILL)
        for pid in workers:
            _, status = os.waitpid(pid, 0)
            counts["killed"] += os.WIFSIGNALED(status)
        tree = Tree(str(out))
        status_now = tree.status(items_of(mine.sources))
        counts["rounds"] += 1
        print(json.dumps(counts), file=sys.stderr, flush=True)
        if not status_now.left and not status_now.claimed:
            os.waitpid(started(out, mine, fleet), 0)  # tidies up after the last kill
            check(out, whole)
            counts["trees finished"] += 1
            number += 1
    while Tree(str(place / f"tree{number}")).status(items_of(mine.sources)).left:
        os.waitpid(started(place / f"tree{number}", mine, fleet), 0)
    check(place / f"tree{number}", whole)
    print(json.dumps({**counts, "trees equal to one process": counts["trees finished"] + 1}))


def check(out: Path, whole: dict[str, bytes]) -> None:
    """All others done, exactly four failures, no claim left, the same bytes."""
    lines = [json.loads(line) for line in (out / "failed.jsonl").read_text().splitlines()]
    failed = sorted(Path(one["uri"]).stem for one in lines)
    assert failed == ["absent", "corrupt", "deadly", "empty"], lines
    assert not [*(out / "claims").glob("*.json")]
    progress = json.loads((out / "progress.json").read_text())
    assert (progress["failed"], progress["left"]) == (4, 0), progress
    found = results(out)
    assert found == whole, [name for name in whole if found.get(name) != whole[name]]


def rerun(place: Path, videos: int) -> None:
    """Seconds of a command that finds all of them finished."""
    films(place / "films", 1)
    first = next((place / "films").iterdir())
    out = place / "tree"
    work(out, record(place / "films"), FleetSettings(shard="0/1"))
    done = out / items_of([str(first)])[0].name
    manifest = json.loads((done / "manifest.json").read_text())
    for number in range(1, videos):
        path = place / "films" / f"{number:04}.mp4"
        shutil.copyfile(first, path)
        folder = out / Item(str(path)).name
        shutil.copytree(done, folder)
        about = {"source": str(path), "source_version": version_of(str(path))}
        (folder / "manifest.json").write_text(json.dumps(manifest | about))
    words = ["track", f"{place}/films/*.mp4", "--out", str(out), "--runtime", "openvino", "--claim"]
    door = [sys.executable, "-c", "from vodkit.cli.main import main; main()"]
    began_s = time.monotonic()
    told = subprocess.run(
        [*door, *words, "--device", "cpu"], check=True, capture_output=True, text=True
    ).stdout
    print(json.dumps({"told": told.strip(), "seconds": round(time.monotonic() - began_s, 2)}))


def plain(out: Path, mine: Record, shard: int, ready: object, seconds: object) -> None:
    """One of two plain processes: load, wait for the other, work."""
    settle()  # as commands and actors do
    worker = Worker(Tree(str(out)), mine, FleetSettings())
    items = items_of(mine.sources)[shard::2]
    ready.wait()  # type: ignore[attr-defined]
    began_s, before_s = time.monotonic(), time.process_time()
    for item in items:
        worker.work(item)
    seconds[shard] = time.monotonic() - began_s  # type: ignore[index]
    seconds[2 + shard] = time.process_time() - before_s  # type: ignore[index]


def processor_s(crew: RayCrew) -> float:
    """Seconds of processor time that the actors have used."""
    import ray

    asked = [actor.__ray_call__.remote(lambda _: time.process_time()) for actor in crew.actors]
    return sum(ray.get(asked))


def ray(place: Path, videos: int) -> None:
    """Time of two plain processes over that of two actors: rounds in turns, medians.

    Processor time is compared, too, which other programs on the machine disturb less.
    """
    films(place / "films", videos, length=20)
    mine = record(place / "films")
    names = ("plain", "ray", "plain_cpu", "ray_cpu")
    times: dict[str, list[float]] = {name: [] for name in names}
    context = multiprocessing.get_context("spawn")
    starting: list[float] = []
    for turn in range(3):
        ready, seconds = context.Barrier(2), context.Array("d", 4)
        both = [
            context.Process(target=plain, args=(place / f"plain{turn}", mine, i, ready, seconds))
            for i in range(2)
        ]
        for one in both:
            one.start()
        for one in both:
            one.join()
        times["plain"].append(max(seconds[:2]))
        times["plain_cpu"].append(sum(seconds[2:]))
        tree, fleet = Tree(str(place / f"ray{turn}")), FleetSettings(on="ray", actors=2)
        items = items_of(mine.sources)
        began_s = time.monotonic()
        with RayCrew(tree, mine, fleet, film=None) as crew:
            list(crew.run(items[:0], {}))
            for actor in crew.actors:
                crew.begun(actor)
            starting.append(time.monotonic() - began_s)
            began_s, before_s = time.monotonic(), processor_s(crew)
            for _ in crew.run(items, dict.fromkeys((one.name for one in items), 1)):
                pass
            times["ray"].append(time.monotonic() - began_s)
            times["ray_cpu"].append(processor_s(crew) - before_s)
        print(json.dumps(times), file=sys.stderr, flush=True)
    mid = {name: float(np.median(found)) for name, found in times.items()}
    ratio, cpu = mid["plain"] / mid["ray"], mid["plain_cpu"] / mid["ray_cpu"]
    shown = {name: [round(one, 2) for one in found] for name, found in times.items()}
    started_s = [round(one, 1) for one in starting]
    print(json.dumps({**shown, "efficiency": round(ratio, 3), "of_processor_time": round(cpu, 3),
                      "start_s": started_s}))  # fmt: skip


def main() -> None:
    """Run one of the three."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("kill", "rerun", "ray"))
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pause-s", type=float, default=4.0, help="longest time before a kill")
    parser.add_argument("--videos", type=int, default=0)
    given = parser.parse_args()
    use_threads(1)
    with tempfile.TemporaryDirectory(prefix="vodkit-bench-") as scratch:
        place = Path(scratch)
        if given.what == "kill":
            kill(place, given.rounds, given.seed, given.pause_s)
        elif given.what == "rerun":
            rerun(place, given.videos or 1000)
        else:
            ray(place, given.videos or 24)


if __name__ == "__main__":
    main()
