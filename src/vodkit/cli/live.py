"""Runs live sources together, shows how they do, and ends them cleanly on Ctrl-C or SIGTERM."""

import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from vodkit.cli.summary import aside, say, say_runtime
from vodkit.ground.errors import SettingsError, needs

if TYPE_CHECKING:
    from vodkit.infer.live import LiveStep
    from vodkit.infer.settings import InferSettings, OutputSettings, RollSettings
    from vodkit.serve.outlets import Outlets
    from vodkit.serve.settings import OutletSettings


def run_live_sources(
    sources: list[str],
    wanted: "InferSettings",
    output: "OutputSettings",
    roll: "RollSettings",
    outlets: "OutletSettings",
    *,
    refused: Sequence[str],
    as_json: bool,
) -> None:
    """All sources at once, each into its own run folder, until they end or the user stops them."""
    from vodkit.infer.flow import make_detector
    from vodkit.infer.folder import RunFolder, folder_names
    from vodkit.infer.live import export_parts, run_live
    from vodkit.serve.outlets import Outlets

    if refused:
        raise SettingsError(f"{', '.join(refused)}: not available for live sources")
    resume, overwrite = output.resume, output.overwrite
    if resume and overwrite:
        raise SettingsError("--resume continues, --overwrite starts over; give one of the two")
    folders = [RunFolder(Path(output.out) / name) for name in folder_names(sources)]
    wanted.require_sources([folder.path.name for folder in folders])
    for folder in folders:
        folder.check(wanted.for_source(folder.path.name), resume=resume, overwrite=overwrite)
    detector = make_detector(wanted)
    if not overwrite:  # which waits for the first frame
        for folder in folders:
            folder.prepare(wanted.for_source(folder.path.name), resume=resume)
    if not as_json:
        say_runtime(detector, wanted)
    steps = run_live(
        sources, [folder.path for folder in folders], detector, wanted,
        roll=roll, resume=resume, overwrite=overwrite, notify=aside,
    )  # fmt: skip
    came: set[str] = set()
    places = {source: folder.path for source, folder in zip(sources, folders, strict=True)}
    sending = Outlets(outlets, detector.classes, aside, threshold=wanted.score_threshold)
    try:
        with sigterm_stops(), sending, closing(steps), _page(outlets, places, sending) as noting:
            _show(sending.passing(noting(steps), lambda step: places[step.source]), came)
    finally:
        for source, folder in zip(sources, folders, strict=True):
            written: Sequence[Path] = []
            if not overwrite or source in came:
                written = export_parts(
                    folder, output.exports, include_predicted=output.include_predicted
                )
            say(source, folder.path, written, as_json=as_json)


@contextmanager
def _page(
    outlets: "OutletSettings", places: "Mapping[str, Path]", sending: "Outlets"
) -> "Iterator[Callable[[Iterable[LiveStep]], Iterable[LiveStep]]]":
    """Within, the page is served, if one is asked for; gives what notes the steps for it."""
    if not outlets.serve:
        yield iter
        return
    with needs("{name} is not installed; pip install 'vodkit[serve]'"):
        from vodkit.serve.live_page import serving_live
    with serving_live(outlets, places, sending) as (address, board):
        aside(f"live: {address}")
        yield board.passing


@contextmanager
def sigterm_stops() -> Iterator[None]:
    """Service managers stop by SIGTERM; it ends a run as Ctrl-C does."""

    def stop(_number: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt

    names = [name for name in ("SIGTERM", "SIGBREAK") if hasattr(signal, name)]  # of Windows
    before = {name: signal.signal(getattr(signal, name), stop) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def _show(steps: Iterable["LiveStep"], came: set[str]) -> None:
    """A line a source on stderr: frames, drops, latency. Silent where stderr is no terminal.

    ``came`` gets the sources that gave frames.
    """
    from rich.progress import Progress, TextColumn

    from vodkit.cli.bars import make_console
    from vodkit.cli.terminal import visible

    told_of = "{task.completed:.0f} frames {task.fields[told]}"
    columns = (TextColumn("{task.description}", markup=False), TextColumn(told_of, markup=False))
    console = make_console()
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as lines:
        tasks = {}
        for step in steps:
            came.add(step.source)
            if step.source not in tasks:
                tasks[step.source] = lines.add_task(visible(step.source), total=None, told="")
            told = f"{1000 * step.latency_s:.0f} ms behind, {step.num_dropped} dropped"
            lines.update(tasks[step.source], advance=1, told=told)
