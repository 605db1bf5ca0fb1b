"""The result of each source, for people or for programs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vodkit.cli import terminal
from vodkit.ground.errors import InputError, PartialError, VodkitError

if TYPE_CHECKING:
    from vodkit.detect.base import Detector
    from vodkit.infer.settings import InferSettings

aside = terminal.aside


def say(
    source: str,
    folder: Path,
    written: Sequence[Path],
    failed: Sequence[VodkitError] = (),
    *,
    as_json: bool,
) -> None:
    """Where the results of a source are, for people or for machines."""
    if as_json:
        told = {"source": source, "folder": str(folder), "files": [*map(str, written)]}
        terminal.say_json(told | ({"failed": [*map(str, failed)]} if failed else {}))
        return
    if written:
        terminal.say(f"{source} -> {folder}", *(f"  {path}" for path in written))
        from vodkit.cli.run_summary import lines_of, next_words

        for line in lines_of(folder):
            terminal.say(f"  {line}")
        for words in next_words(folder):
            terminal.say_next(*words)


def say_runtime(detector: "Detector", wanted: "InferSettings") -> None:
    """The runtime that ``auto`` means here, and why."""
    if wanted.prompts:
        terminal.say(
            f"prompts: {'; '.join(wanted.prompts)} (score from {wanted.score_threshold:g})"
        )
    if wanted.runtime == "auto":
        begun = f"runtime: {detector.runs_on} (as in the interrupted run)"
        terminal.say(begun if detector.choice is None else detector.choice.line())
    if wanted.runtime == "compile":
        terminal.say(
            f"runtime: {detector.runs_on}; it compiles the network for batches of 1, 2, 4 and 8"
            " when each is first used, which takes minutes, and keeps the result for later runs"
        )


def raise_failures(of_sources: Sequence[Sequence[VodkitError]]) -> None:
    """One failure speaks for itself; of several, each gets a line and the last line counts."""
    failures, num_sources = [failed for failed in of_sources if failed], len(of_sources)
    errors = [error for failed in failures for error in failed]
    if not errors:
        return
    if num_sources == len(errors) == 1:
        raise errors[0]
    for error in errors:
        aside(str(error))
    count = f"{len(failures)} of {num_sources} sources"
    if len(failures) == num_sources and not any(isinstance(e, PartialError) for e in errors):
        raise InputError(f"{count} failed")
    raise PartialError(f"{count} failed or are incomplete; the others finished")
