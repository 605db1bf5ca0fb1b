"""``vodkit track`` and ``detect``: sources into run folders, and what became of each."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vodkit.cli.bars import with_bar
from vodkit.cli.summary import aside, raise_failures, say, say_runtime

if TYPE_CHECKING:
    from vodkit.infer.batch import Batch, Outcome
    from vodkit.infer.run import Step
    from vodkit.infer.settings import InferSettings, RollSettings


def run_sources(
    sources: list[str],
    wanted: "InferSettings",
    roll: "RollSettings",
    *,
    out: Path,
    exports: Sequence[str] = (),
    include_predicted: bool = False,
    segments: bool = False,
    resume: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Files one after the other, or live sources together."""
    from vodkit.ground import process
    from vodkit.infer.batch import Batch
    from vodkit.report.annotate import film
    from vodkit.video.reader import is_live

    process.settle()
    if any(map(is_live, sources)) or roll.roll_s or roll.keep:
        from vodkit.cli.live import run_live_sources

        refuse = {"--video": "video" in exports, "--lenient": wanted.lenient}
        refuse |= {"--after": bool(wanted.after), "--segments": segments}
        run_live_sources(
            sources,
            wanted,
            out=out,
            roll=roll,
            exports=exports,
            include_predicted=include_predicted,
            refused=[name for name, on in refuse.items() if on],
            resume=resume,
            overwrite=overwrite,
            as_json=as_json,
        )
        return
    batch = Batch(
        sources,
        wanted,
        out=out,
        exports=exports,
        film=film,
        include_predicted=include_predicted,
        segments=segments,
        resume=resume,
        overwrite=overwrite,
        notify=aside,
    )
    if not as_json:
        say_runtime(batch.detector, wanted)
    failures = []
    for outcome in run_batch(batch):
        say(outcome.source, outcome.folder.path, outcome.files, outcome.errors, as_json=as_json)
        failures.append(outcome.errors)
    raise_failures(failures)


def run_batch(batch: "Batch") -> "Iterable[Outcome]":
    """The outcomes, with a progress bar for each source, and notes on stderr."""

    def watch(steps: "Iterable[Step]", source: str) -> "Iterable[Step]":
        return with_bar(steps, Path(source).name)

    for outcome in batch.run(watch):
        for note in outcome.notes:
            aside(note)
        yield outcome
