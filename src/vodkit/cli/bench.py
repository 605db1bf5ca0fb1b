"""``vodkit bench``: how fast this machine is with each model, runtime and source."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vodkit.benchmark.settings import BenchSettings
from vodkit.cli import options
from vodkit.cli.terminal import UNDEFINED, say, say_json, say_table

if TYPE_CHECKING:
    from vodkit.benchmark.speed import Bench


@options.with_settings(without=("sources",))
def bench(
    sources: list[str] = typer.Argument(None, help="Videos; default: a sample clip."),
    *,
    wanted: BenchSettings,
    out: Path = typer.Option(None, "--out", "-o", help="Also write the result as JSON here."),
    as_json: bool = options.JSON,
) -> None:
    """Measure the speed of models here. Decoding, network, and the whole pipeline; frames a second.

    Example: vodkit bench plaza.mp4 --model vodkit-street
    """
    from dataclasses import asdict, replace
    from functools import partial

    from vodkit.benchmark.speed import run_bench
    from vodkit.ground import process, runs
    from vodkit.ground.errors import PartialError

    if out is not None:
        _check_out(out)
    process.settle()
    if sources:
        wanted = replace(wanted, sources=tuple(sources))
    result = run_bench(wanted, tell=partial(say, error=True))
    content = {"stack": runs.stack(), **asdict(result)}
    if as_json:
        say_json(content)
    else:
        _show(result)
    if out is not None:
        runs.write_json(out, content)
    if result.failed:
        raise PartialError(f"not measured: {'; '.join(result.failed)}")


def _check_out(out: Path) -> None:
    """Say before anything is measured that the result cannot be written there."""
    from vodkit.ground.errors import OutputError
    from vodkit.ground.runs import make_folder

    make_folder(out.parent)
    if out.is_dir():
        raise OutputError("is a folder; allowed: a file", path=out)


def _show(result: "Bench") -> None:
    titles = ["source", "model", "runtime", "input px", "decode/s", "network/s", "detect/s",
              "track/s", "track/network"]  # fmt: skip
    rows = [
        [
            Path(line.source).name,
            line.model + (" (random weights)" if line.random_weights else ""),
            line.runtime,
            f"{line.input_px[0]}x{line.input_px[1]}",
            *(_rate(x) for x in (line.decode, line.network, line.detect, line.track)),
            UNDEFINED if line.share is None else f"{line.share:.0%}",
        ]
        for line in result.lines
    ]
    say_table(titles, rows)
    for words in result.left_out:
        say(f"left out: {words}")


def _rate(frames_per_s: float | None) -> str:
    return UNDEFINED if frames_per_s is None else f"{frames_per_s:.1f}"
