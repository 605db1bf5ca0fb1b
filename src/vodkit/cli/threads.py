"""``--threads``: how many CPU threads a command uses."""

import typer

from vodkit.ground import process


def _use(count: int) -> int:
    if count:
        process.use_threads(count)
    return count


THREADS = typer.Option(
    0, "--threads", min=0, callback=_use, help="CPU threads; 0: OMP_NUM_THREADS, else all cores."
)
