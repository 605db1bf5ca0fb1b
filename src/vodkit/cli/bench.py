"""``vodkit bench``: how fast this machine is with each model, runtime and source."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vodkit.cli import options
from vodkit.cli.terminal import UNDEFINED, say, say_json, say_table
from vodkit.infer.settings import InferSettings

if TYPE_CHECKING:
    from vodkit.benchmark.speed import Bench


def bench(
    sources: list[str] = typer.Argument(None, help="Videos; default: a sample clip."),
    models: list[str] = typer.Option(
        [], "--model", "-m", help="Repeatable; default: every model whose weights are here."
    ),
    runtimes: list[str] = typer.Option(
        [],
        "--runtime",
        help="Repeatable; default: all that are installed, and cuda where a GPU works.",
    ),
    device: str = options.option_of(InferSettings, "device"),
    tracker: str = options.option_of(InferSettings, "tracker"),
    temporal: str = options.option_of(InferSettings, "temporal"),
    batch_size: int = options.option_of(InferSettings, "batch_size"),
    size: str = options.option_of(
        InferSettings, "size", help="Input size of the networks: pixels as 640, or 640x384."
    ),
    seconds: float = typer.Option(2.0, "--seconds", help="For each speed, in each turn."),
    turns: int = typer.Option(3, "--turns", help="Measure everything so often; medians count."),
    out: Path = typer.Option(None, "--out", "-o", help="Also write the result as JSON here."),
    as_json: bool = options.JSON,
) -> None:
    """Measure the speed of models here. Decoding, network, and the whole pipeline; frames a second.

    Example: vodkit bench plaza.mp4 --model vodkit-street
    """
    from dataclasses import asdict
    from functools import partial

    from vodkit.benchmark.speed import BenchSettings, run_bench
    from vodkit.ground import process, runs
    from vodkit.ground.errors import PartialError

    if out is not None:
        _check_out(out)
    process.settle()
    given = {"sources": tuple(sources or ()), "models": tuple(models), "runtimes": tuple(runtimes)}
    wanted = BenchSettings(
        device=device,
        tracker=tracker,
        temporal=temporal,
        batch_size=batch_size,
        size=size,
        seconds=seconds,
        turns=turns,
        **{name: value for name, value in given.items() if value},
    )
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
