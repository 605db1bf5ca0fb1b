"""Progress bars on stderr: done, total, rate, time left, on terminals of any width.

Nothing is shown where stderr is no terminal. A terminal that cannot move its cursor
(``TERM=dumb``) gets plain lines, fewer and fewer.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Protocol

from vodkit.cli.terminal import cells, say, visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Task
    from rich.text import Text

    from vodkit.infer.run import Step

_LONGEST_BAR = 40
_SHORTEST_BAR = 5
_BLOCKS = {True: ("\N{BOX DRAWINGS HEAVY HORIZONTAL}",) * 2, False: ("#", ".")}
_DONE, _LEFT = "magenta", "bright_black"  # both can be seen on light and on dark backgrounds
_OFTEN_S = 5.0


class Show(Protocol):
    """What a bar is updated with."""

    def __call__(self, done: int, total: int | None, title: str = "") -> None:
        """``title``: a new one; empty: as before."""


def with_bar(steps: Iterable["Step"], title: str, *, unit: str = "frames") -> Iterator["Step"]:
    """The steps, with a bar on stderr."""
    with bar(title, unit=unit) as show:
        for step in steps:
            show(step.num_done, step.num_total)
            yield step


@contextmanager
def bar(title: str, *, unit: str, transient: bool = False) -> Iterator[Show]:
    """One bar. ``transient``: it is removed at the end."""
    if not sys.stderr.isatty():
        yield lambda done, total, title="": None  # noqa: ARG005
        return
    console = make_console()
    if console.is_dumb_terminal:
        yield _Plain(title, unit)
        return
    with _drawn(console, title, unit, transient=transient) as show:
        yield show


@contextmanager
def bars(unit: str = "", *, quiet: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each title, one after the other; it appears with its first step.

    ``quiet``: none is shown.
    """
    with ExitStack() as stack:
        shown: dict[str, Show] = {}

        def watch(title: str, done: int, total: int) -> None:
            if quiet:
                return
            if title not in shown:
                stack.close()
                shown.clear()
                shown[title] = stack.enter_context(bar(title, unit=unit, transient=True))
            shown[title](done, total)

        yield watch


def make_console() -> "Console":
    """Rich's console on stderr, to which text is text and never markup."""
    from rich.console import Console

    return Console(stderr=True, markup=False, highlight=False, emoji=False)


@contextmanager
def _drawn(console: "Console", title: str, unit: str, *, transient: bool) -> Iterator[Show]:
    from rich.progress import Progress, ProgressColumn
    from rich.text import Text

    class Line(ProgressColumn):
        """All of a bar in one line, shorter where the terminal is narrow."""

        def render(self, task: "Task") -> Text:
            return _line(task, console, unit)

    made = Progress(Line(), console=console, transient=transient, redirect_stdout=False)
    with made as progress:
        task = progress.add_task(title, total=None)

        def show(done: int, total: int | None, title: str = "") -> None:
            progress.update(task, completed=done, total=total, description=title or None)

        yield show


def _line(task: "Task", console: "Console", unit: str) -> "Text":
    from rich.text import Text

    room = console.width
    total = None if task.total is None else int(task.total)
    speed = task.finished_speed or task.speed
    counted = state(int(task.completed), total, speed, unit=unit if room >= 50 else "")
    text = Text(counted, no_wrap=True)
    spare = room - cells(counted) - 1
    title = visible(task.description, console.encoding)
    if total and spare >= _SHORTEST_BAR:
        length = min(_LONGEST_BAR, spare if spare < 20 else spare // 2)
        is_unicode = console.encoding.lower().startswith("utf")
        full, empty = _BLOCKS[is_unicode]
        done = min(length, int(length * task.completed / total))
        text = Text.assemble((full * done, _DONE), (empty * (length - done), _LEFT), " ", text)
        spare -= length + 1
    if spare >= 8:
        text = Text.assemble(shortened(title, spare), " ", text)
    return text


def state(done: int, total: int | None, rate: float | None, *, unit: str = "") -> str:
    """Done, total, rate per second and time left; ``?`` for what is unknown.

    >>> state(30, 80, 12.5, unit="frames"), state(30, None, None)
    ('30/80 frames 12.5/s 0:04', '30/? ?/s ?')
    """
    per_s = "?/s" if not rate else f"{rate:.1f}/s" if rate < 1000 else f"{rate:.0f}/s"
    left = clock((total - done) / rate) if rate and total is not None else "?"
    amount = f"{done}/{'?' if total is None else total}"
    return " ".join(part for part in (amount, unit, per_s, left) if part)


def clock(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> clock(3.2), clock(3725)
    ('0:04', '1:02:05')
    """
    whole = max(0, int(-(-seconds // 1)))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def shortened(text: str, width: int) -> str:
    """The first characters of ``text``, as many as fit, with ``..`` for the rest.

    >>> shortened("clip-of-monday.mp4", 10)
    'clip-of-..'
    """
    if cells(text) <= width:
        return text
    while text and cells(text) + 2 > width:
        text = text[:-1]
    return f"{text}.."


class _Plain:
    """Lines for terminals that cannot move their cursor: after 0, 5, 10, 20, 40 ... s."""

    def __init__(
        self, title: str, unit: str, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._title, self._unit, self._clock_s = title, unit, clock_s
        self._began_s = self._next_s = clock_s()
        self._first: int | None = None

    def __call__(self, done: int, total: int | None, title: str = "") -> None:
        """A line, if it is time for one, or all is done."""
        self._title = title or self._title
        self._first = done if self._first is None else self._first
        now_s = self._clock_s()
        if now_s < self._next_s and done != total:
            return
        took_s = now_s - self._began_s
        self._next_s = now_s + max(took_s, _OFTEN_S)
        rate = (done - self._first) / took_s if took_s > 0 else None
        say(f"{self._title} {state(done, total, rate, unit=self._unit)}", error=True)
