"""``vodkit track`` and ``detect``: sources into run folders, and what became of each."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vodkit.cli.bars import with_bar
from vodkit.cli.summary import aside, raise_failures, say, say_runtime

if TYPE_CHECKING:
    from vodkit.fleet.settings import FleetSettings
    from vodkit.infer.batch import Batch, Outcome
    from vodkit.infer.run import Step
    from vodkit.infer.settings import InferSettings, OutputSettings, RollSettings
    from vodkit.serve.outlets import Outlets
    from vodkit.serve.settings import OutletSettings


def run_sources(
    sources: list[str],
    wanted: "InferSettings",
    output: "OutputSettings",
    roll: "RollSettings",
    fleet: "FleetSettings",
    outlets: "OutletSettings | None" = None,
    *,
    as_json: bool,
) -> None:
    """Files one after the other, live sources together, or a share of many videos."""
    from vodkit.cli.fleet import is_fleet, run_fleet
    from vodkit.fleet.pieces import check_pieces, detect_in_pieces
    from vodkit.fleet.survey import folder_of
    from vodkit.fleet.tree import Record
    from vodkit.ground import process
    from vodkit.ground.errors import SettingsError
    from vodkit.infer.batch import Batch
    from vodkit.infer.stills import require_stills_only, stills_among
    from vodkit.report.annotate import film
    from vodkit.serve.settings import OutletSettings
    from vodkit.video.reader import is_live

    process.settle()
    outlets = outlets or OutletSettings()
    check_pieces(wanted, fleet.pieces)
    is_rolled = bool(roll.roll_s or roll.keep)
    exports, out = output.exports, output.out
    one_recording = {
        "--after": bool(wanted.after),
        "--segments": output.segments,
        "--continues": output.continues,
    }
    if is_fleet(sources, out, fleet):
        refuse = one_recording | {"--overwrite": output.overwrite}
        refuse |= {"--roll-s": is_rolled, "--mqtt, --webhook, --serve": outlets.is_any}
        refuse["--line, --zone of one source"] = wanted.names_sources
        mine = Record(
            settings=wanted,
            sources=tuple(sources),
            folder=folder_of(sources),
            exports=tuple(exports),
            include_predicted=output.include_predicted,
        )
        refused = [name for name, on in refuse.items() if on]
        run_fleet(mine, fleet, out=out, as_json=as_json, refused=refused)
        return
    of_films = {"--roll-s": is_rolled, "--mqtt, --webhook, --serve": outlets.is_any}
    of_films["--pieces"] = fleet.pieces > 1
    given = [name for name, on in of_films.items() if on]
    if given and (stills := stills_among(sources, wanted)):
        require_stills_only(stills, sources, given)
    if any(map(is_live, sources)) or is_rolled:
        from vodkit.cli.live import run_live_sources

        refuse = {"--video": output.video, "--lenient": wanted.lenient, **one_recording}
        refuse["--pieces"] = fleet.pieces > 1
        refused = [name for name, on in refuse.items() if on]
        run_live_sources(sources, wanted, output, roll, outlets, refused=refused, as_json=as_json)
        return
    if outlets.serve:
        raise SettingsError("serve: available for live sources only")
    batch = Batch(
        sources,
        wanted,
        out=out,
        exports=exports,
        film=film,
        include_predicted=output.include_predicted,
        segments=output.segments,
        continues=output.continues,
        resume=output.resume,
        overwrite=output.overwrite,
        notify=aside,
        record=partial(detect_in_pieces, count=fleet.pieces) if fleet.pieces > 1 else None,
    )
    _run_files(batch, wanted, outlets, as_json=as_json)


def _run_files(
    batch: "Batch", wanted: "InferSettings", outlets: "OutletSettings", *, as_json: bool
) -> None:
    """One file after the other, and what became of each."""
    from vodkit.serve.outlets import Outlets

    if not as_json:
        say_runtime(batch.detector, wanted)
    failures = []
    with Outlets(
        outlets, batch.detector.classes, aside, threshold=wanted.score_threshold
    ) as sending:
        for outcome in run_batch(batch, sending):
            say(outcome.source, outcome.folder.path, outcome.files, outcome.errors, as_json=as_json)
            failures.append(outcome.errors)
    raise_failures(failures)


def run_batch(batch: "Batch", outlets: "Outlets | None" = None) -> "Iterable[Outcome]":
    """The outcomes, with a progress bar for each source, and notes on stderr."""
    folders = dict(zip(batch.sources, batch.folders, strict=True))

    def watch(steps: "Iterable[Step]", source: str) -> "Iterable[Step]":
        if outlets is not None:
            steps = outlets.passing(steps, lambda _: folders[source].path)
        unit = "images" if batch.of_stills else "frames"
        return with_bar(steps, Path(source).name, unit=unit)

    for outcome in batch.run(watch):
        for note in outcome.notes:
            aside(note)
        yield outcome
