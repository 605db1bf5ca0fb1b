"""``vodkit track`` and ``detect`` on many videos, shared by workers, and what became of each."""

import signal
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vodkit.cli import terminal
from vodkit.cli.bars import with_bar
from vodkit.cli.summary import aside, say_runtime
from vodkit.ground.errors import PartialError, SettingsError

if TYPE_CHECKING:
    from vodkit.fleet.crew import Crew
    from vodkit.fleet.settings import FleetSettings
    from vodkit.fleet.tree import Record
    from vodkit.fleet.worker import Result
    from vodkit.infer.run import Step
    from vodkit.infer.settings import InferSettings


def is_fleet(sources: Sequence[str], out: str, fleet: "FleetSettings") -> bool:
    """Whether a command fills a tree: by an option, a URL to write to, or a pattern."""
    from vodkit.fleet.place import is_url
    from vodkit.fleet.sources import means_many

    return fleet.is_asked_for or is_url(out) or any(map(means_many, sources))


def run_fleet(
    mine: "Record", fleet: "FleetSettings", *, out: str, as_json: bool, refused: Sequence[str] = ()
) -> None:
    """Work on this process's share of the videos.

    Raises:
        PartialError: some videos failed.
    """
    from vodkit.fleet.crew import Crew
    from vodkit.report.annotate import film

    if refused:
        raise SettingsError(f"{', '.join(refused)}: not available where workers share videos")
    # What preempts jobs sends SIGTERM: claims are given back then, and temporary files removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    crew = Crew(out, mine, fleet, film=film, notify=aside)
    if not as_json:
        done, left = len(crew.before.done), len(crew.left)
        skipped = f", {len(crew.skipped)} failed before (--retry-failed)" if crew.skipped else ""
        terminal.say(f"{len(crew.items)} videos: {done} done{skipped}, {left} to do")
    told = _follow(crew, mine.settings, as_json=as_json)
    from vodkit.fleet.failures import FAILED

    failed = told["failed"] + told["partial"] + len(crew.skipped)
    if told["busy"]:
        aside(
            f"{told['busy']} videos are at work in other workers; vodkit runs ls {crew.tree.place}"
        )
    if failed:
        where = f"{crew.tree.place}/{FAILED}"
        count = f"{failed} of {len(crew.items)} videos failed or are incomplete"
        raise PartialError(f"{count}; the others are done. Reasons: {where}")


def _follow(crew: "Crew", wanted: "InferSettings", *, as_json: bool) -> "Counter[str]":
    told: Counter[str] = Counter()

    def watch(steps: "Iterable[Step]", source: str) -> "Iterable[Step]":
        if crew.detector is not None and not told["runtime"] and not as_json:
            say_runtime(crew.detector, wanted)
        told["runtime"] = 1
        return with_bar(steps, Path(source).name)

    for result in crew.run(watch):
        told[result.state] += 1
        for note in result.notes:
            aside(note)
        if result.failure is not None:
            aside(result.failure.error)
        _say(crew, result, as_json=as_json)
    return told


def _say(crew: "Crew", result: "Result", *, as_json: bool) -> None:
    from vodkit.fleet.worker import place_of

    folder = place_of(crew.tree, result.name)
    if as_json:
        failed = {} if result.failure is None else {"failed": [result.failure.error]}
        about = {"source": result.uri, "folder": folder, "state": result.state}
        terminal.say_json(about | {"num_frames": result.num_frames} | failed)
    elif result.state == "busy":
        terminal.say(f"{result.uri}: another worker has it")
    elif result.state == "failed":
        terminal.say(f"{result.uri}: failed")
    else:
        terminal.say(f"{result.uri} -> {folder}")
