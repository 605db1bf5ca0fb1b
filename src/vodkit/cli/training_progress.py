"""What is seen of a training: bars on a terminal, lines in a file, and the same words in both."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from vodkit.cli.bars import Show, bar
from vodkit.cli.terminal import say

if TYPE_CHECKING:
    from vodkit.train.progress import Progress

_OFTEN_S = 5.0
_UNITS = ((3600.0, "h"), (60.0, "min"), (1.0, "s"))


@contextmanager
def shown(*, quiet: bool) -> Iterator[Callable[["Progress"], None]]:
    """What a training is to be watched by; standard output is for the result alone."""
    if quiet:
        yield lambda _: None
    elif sys.stderr.isatty():
        with _bars() as bars:
            yield bars
    else:
        yield Lines(say_to_file)


def say_to_file(line: str) -> None:
    """At once, also where standard error is a file."""
    say(line, error=True)


def whole_lines(progress: "Progress") -> list[str]:
    """What is worth a line of its own wherever it is seen; nothing for steps."""
    if progress.what == "material":
        return list(progress.told)
    if progress.what == "parameters":
        rows = [
            (row.stage, f"{row.parameters:,}", f"{row.trainable:,}") for row in progress.parameters
        ]
        table = [("stage", "parameters", "trained"), *rows]
        steps = f"{progress.num_epochs} epochs of {progress.total} steps"
        return [*(f"  {a:<8}{b:>12}{c:>12}" for a, b, c in table), steps]
    if progress.what == "epoch":
        on = f" on {progress.measured_on}" * bool(progress.measured_on)
        score = "" if progress.ap is None else f"AP {progress.ap:.3f}{on}, "
        waiting = f"waited for data {progress.wait_share:.0%}"
        named = f"epoch {progress.done} of {progress.total}"
        return [f"{named}: {score}{_losses(progress)} ({waiting})"]
    return []


def _losses(progress: "Progress") -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in progress.losses.items())


def _done(progress: "Progress") -> tuple[int, int]:
    """How much of what is under way is done, of how much; of steps, over all epochs."""
    if progress.what != "step":
        return progress.done, progress.total
    before = progress.epoch * progress.total
    return before + progress.done, progress.num_epochs * progress.total


def duration(seconds: float) -> str:
    """For people, in two digits.

    >>> duration(7300), duration(95), duration(3)
    ('2.0 h', '1.6 min', '3 s')
    """
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), _UNITS[-1])
    return f"{seconds / size:.{0 if unit == 's' else 1}f} {unit}"


class Lines:
    """For files: whole lines, and of what is under way ever fewer: after 0, 5, 10, 20, 40 ... s."""

    def __init__(
        self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``clock`` counts seconds."""
        self._say, self._clock = say, clock
        self._what = ""
        self._began_s = self._next_s = 0.0
        self._first = 0

    def __call__(self, progress: "Progress") -> None:
        """Take note of a step."""
        for line in whole_lines(progress):
            self._say(line)
        if progress.what in {"material", "parameters", "epoch"}:
            return
        now_s, (done, total) = self._clock(), _done(progress)
        if progress.what != self._what:
            self._what, self._began_s, self._next_s, self._first = progress.what, now_s, now_s, done
        if now_s < self._next_s:
            return
        took_s = now_s - self._began_s
        self._next_s = now_s + max(took_s, _OFTEN_S)
        losses = f": {_losses(progress)}, lr {progress.lr:.1e}" if progress.losses else ""
        left_s = took_s / max(done - self._first, 1) * (total - done)
        left = f"; {duration(left_s)} left" if took_s else ""
        self._say(f"{progress.what} {done} of {total}{losses}{left}")


@contextmanager
def _bars() -> Iterator[Callable[["Progress"], None]]:
    """For terminals: one bar for what is under way, below the whole lines."""
    with ExitStack() as bars:
        under_way: dict[str, Show] = {}

        def show(progress: "Progress") -> None:
            lines = whole_lines(progress)
            if lines or progress.what not in under_way:
                bars.close()  # lines stand above the next bar
                under_way.clear()
            say(*lines, error=True)
            if progress.what in {"material", "parameters", "epoch"}:
                return
            if progress.what not in under_way:
                unit = "steps" if progress.what == "step" else ""
                made = bar(progress.what, unit=unit, transient=True)
                under_way[progress.what] = bars.enter_context(made)
            done, total = _done(progress)
            steps = progress.what == "step"
            text = f"{_losses(progress)}, lr {progress.lr:.1e}" if steps else progress.what
            under_way[progress.what](done, total, text)

        yield show
