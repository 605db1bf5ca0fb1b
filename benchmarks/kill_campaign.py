"""Kill commands at random moments, hundreds of times, and compare what they leave at last.

    python benchmarks/kill_campaign.py --kills 40 [job ...]

Every job is run once undisturbed. Then it is started again and again, and killed (SIGKILL) at a
moment drawn evenly from its running time; each time it goes on as a user would let it: with
``--resume`` where the command has it, else by the same command once more. After a few kills it
is left alone, and every file of its result must equal the undisturbed one, bit by bit. One JSON
line a job: kills that hit, rounds that ended in equal results, and those that did not.
"""

import argparse
import hashlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vodkit.ground.lookup import pick
from vodkit.samples.samples import CLIP_A, CLIP_B, LABELS

DOOR = [sys.executable, "-c", "from vodkit.cli.main import main; main()"]
KILLS_A_ROUND = 6
# These tell of times, machines and temporary places; what they say of the result is elsewhere.
TELL_OF_THE_RUN = {"manifest.json", "log.csv", "state.pt", "report.html"}


@dataclass(frozen=True, kw_only=True)
class Job:
    """A command, and how it goes on after a kill."""

    words: Sequence[str]
    """the command; it writes into the current folder"""
    again: Sequence[str] = ()
    """added from the second start on"""
    done: str = ""
    """said by a start that finds the whole result there (the kill came after it was written)"""


SMALL = (
    "width_px=64", "height_px=64", "save_every_s=0.05", "workers=0", "cache=off",
    "every=16", "val_every=1", "val_split=test", "epochs=2",
)  # fmt: skip
DATA, CLIPS = str(LABELS), (str(CLIP_A), str(CLIP_B))
JOBS = {
    "track": Job(
        words=["track", str(CLIP_B), "--out", ".", "--csv", "--mot", "--coco"], again=["--resume"]
    ),
    "track --every auto": Job(
        words=["track", str(CLIP_B), "--every", "auto", "--out", "."], again=["--resume"]
    ),
    "detect": Job(
        words=["detect", str(CLIP_B), "--out", ".", "--csv", "--appearance", "colour"],
        again=["--resume"],
    ),
    "train": Job(
        words=["train", "--data", DATA, "--out", "run", *(f"--set={one}" for one in SMALL)],
        again=["--resume"],
    ),
    "data import": Job(words=["data", "import", DATA, "-o", "a.json"]),
    "data audit --fix": Job(
        words=["data", "audit", DATA, "--labels-only", "--fix", "a.json"],
        done="exists already",
    ),
    "data split": Job(words=["data", "split", DATA, "-o", "a.json"]),
    "data export yolo": Job(
        words=["data", "export", DATA, "-f", "yolo", "-o", "a", "--split", "test"],
        again=["--overwrite"],
    ),
    "data export cvat": Job(
        words=["data", "export", DATA, "-f", "cvat", "-o", "a", "--split", "test"],
        again=["--overwrite"],
    ),
    "data prelabel": Job(
        words=["data", "prelabel", *CLIPS, "-f", "cocovid", "--every", "3", "-o", "a.json"],
        again=["--resume"],
        done="exists and may have been corrected by hand",
    ),
    "data preview": Job(words=["data", "preview", DATA, "-o", "a"]),
}


def contents(folder: Path) -> dict[str, str]:
    """The digest of every file that a user sees (a killed process may leave hidden parts)."""
    found = {}
    for file in sorted(folder.rglob("*")):
        inner = file.relative_to(folder)
        hidden = any(part.startswith(".") for part in inner.parts)
        if file.is_file() and not hidden and file.name not in TELL_OF_THE_RUN:
            found[str(inner)] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def start(words: Sequence[str], out: Path) -> "subprocess.Popen[bytes]":
    """The command, silent, in this folder."""
    return subprocess.Popen(
        [*DOOR, *words], cwd=out, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def undisturbed(job: Job, out: Path) -> tuple[dict[str, str], float]:
    """What the job leaves when it is let alone, and how long it takes."""
    out.mkdir()
    begin = time.monotonic()
    done = start(job.words, out)
    _, said = done.communicate()
    if done.returncode:
        raise SystemExit(said.decode())
    return contents(out), time.monotonic() - begin


def one_round(job: Job, out: Path, takes_s: float, chance: random.Random) -> tuple[int, str]:
    """Kill a few times, then let it end: how many kills hit, and what the last start said."""
    out.mkdir()
    hits = 0
    for number in range(KILLS_A_ROUND + 1):
        process = start([*job.words, *(job.again if number else ())], out)
        if number < KILLS_A_ROUND:
            try:
                process.wait(chance.uniform(0, takes_s))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        _, said = process.communicate()
        if process.returncode != -signal.SIGKILL:
            fine = process.returncode == 0 or (job.done and job.done in said.decode())
            return hits, "" if fine else said.decode()
        hits += 1
    return hits, ""


def campaign(name: str, kills: int, chance: random.Random) -> dict[str, object]:
    """Rounds of one job until so many kills have hit."""
    job, hits, rounds, unequal = JOBS[name], 0, 0, []
    with tempfile.TemporaryDirectory() as folder:
        whole, takes_s = undisturbed(job, Path(folder) / "whole")
        while hits < kills:
            rounds += 1
            out = Path(folder) / f"round{rounds}"
            hit, said = one_round(job, out, takes_s, chance)
            hits += hit
            left = contents(out)
            wrong = sorted(x for x in whole.keys() | left.keys() if whole.get(x) != left.get(x))
            if said or wrong:
                unequal.append({"round": rounds, "files": wrong[:5], "said": said[-400:]})
    return {
        "job": name, "kills": hits, "rounds": rounds, "files": len(whole),
        "takes_s": round(takes_s, 2), "unequal": unequal,
    }  # fmt: skip


def main() -> None:
    """One JSON line a job; exit 1 when any round ended differently."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("jobs", nargs="*", default=list(JOBS))
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    chance, failed = random.Random(chosen.seed), False
    for name in chosen.jobs:  # all of them, before the first one takes its time
        pick(JOBS, name, "job")
    for name in chosen.jobs:
        found = campaign(name, chosen.kills, chance)
        print(json.dumps(found), flush=True)
        failed |= bool(found["unequal"])
    sys.exit(failed)


if __name__ == "__main__":
    main()
