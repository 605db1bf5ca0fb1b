"""What became of all videos of a tree, seen from outside: for ``vodkit runs``."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vodkit.fleet.failures import Failure
from vodkit.fleet.place import is_url
from vodkit.fleet.progress import counts_of
from vodkit.fleet.sources import items_of
from vodkit.fleet.tree import Record, Tree
from vodkit.ground.errors import InputError, SettingsError
from vodkit.infer.manifest import Ended


@dataclass(frozen=True, kw_only=True)
class Survey:
    """The counts of a tree, and what is left to do."""

    tree: str
    counts: dict[str, int]
    """done, partial, failed, claimed, unfinished, missing: each video in one of them"""
    failures: Sequence[Failure] = ()
    num_frames: int = 0
    """of the videos that are done"""
    left: int = 0
    """videos that ``vodkit runs resume`` works on"""
    commands: Sequence[Sequence[str]] = ()
    """what does the rest; empty: nothing is left that a command could do"""

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "tree": self.tree,
            **self.counts,
            "num_frames": self.num_frames,
            "left": self.left,
            "failures": [vars(one) for one in self.failures],
            "commands": [[*words] for words in self.commands],
        }


def recorded(tree: Tree) -> Record:
    """What the workers of a tree have in common, if its sources are found from here.

    Raises:
        SettingsError: there is no record, or the sources are relative to another folder.
    """
    record = tree.record()
    if record is None:
        message = f"{tree.place}: no fleet.json, as workers that share videos leave"
        raise SettingsError(f"{message}; resume single runs with: vodkit track SOURCE --resume")
    if record.folder and Path(record.folder) != Path.cwd():
        message = f"{tree.place}: its sources are named as seen from {record.folder}"
        raise SettingsError(f"{message}; run this command there")
    return record


def folder_of(words: Sequence[str]) -> str:
    """The folder that words of the command line are relative to; empty: none is relative."""
    relative = any(not is_url(word) and not os.path.isabs(word) for word in words)  # noqa: PTH117
    return str(Path.cwd()) if relative else ""


def survey(url: str) -> Survey:
    """What became of the videos of a tree.

    Raises:
        InputError: there is no run, or the sources cannot be found.
    """
    tree = Tree(url)
    if tree.record() is None:
        return _of_single_runs(tree)
    status = tree.status(items_of(recorded(tree).sources))
    manifests = tree.manifests()
    resume = ["vodkit", "runs", "resume", url]
    commands = [resume] if status.left else []
    if status.failed and not commands:
        commands = [[*resume, "--retry-failed"]]
    return Survey(
        tree=url,
        counts=counts_of(status),
        failures=[*status.failed.values()],
        num_frames=sum(manifests[name].get("num_frames") or 0 for name in status.done),
        left=status.left,
        commands=commands,
    )


def _of_single_runs(tree: Tree) -> Survey:
    """Of run folders that one process made, each of a source of its own."""
    manifests = tree.manifests()
    runs = [one for one in manifests.values() if "source" in one]
    if not runs:
        raise InputError(f"{tree.place}: no run is in it; expected: folders with a manifest.json")
    ended = Counter(one.get("ended", Ended.RUNNING) for one in runs)
    fine = (Ended.COMPLETE, Ended.STOPPED)
    open_ = [one for one in runs if one.get("ended") == Ended.RUNNING]
    done = [one for one in runs if one.get("ended") in fine]
    return Survey(
        tree=str(tree.place),
        counts={
            "done": len(done),
            "partial": ended[Ended.PARTIAL] + ended[Ended.BROKEN],
            "unfinished": len(open_),
        },
        num_frames=sum(one.get("num_frames") or 0 for one in done),
        left=len(open_),
        commands=[
            ["vodkit", "track", one["source"], "--out", str(tree.place), "--resume"]
            for one in open_
        ],
    )
