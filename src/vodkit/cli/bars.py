"""Progress bars on stderr: done, total, rate, time left."""

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vodkit.infer.run import Step


def with_bar(steps: Iterable["Step"], title: str) -> Iterator["Step"]:
    """Steps, with a bar on stderr: done, rate, time left. Silent where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Amount(ProgressColumn):
        """Done, total and rate; the last two are unknown at first, and in streams for ever."""

        def render(self, task: Task) -> Text:
            total = "?" if task.total is None else f"{task.total:.0f}"
            rate = "" if task.speed is None else f"  {task.speed:.1f}/s"
            return Text(f"{task.completed:.0f}/{total} frames{rate}")

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        Amount(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(title, total=None)
        for step in steps:
            bar.update(task, completed=step.num_done, total=step.num_total)
            yield step
