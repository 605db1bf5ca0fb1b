"""Starting and stopping the page: one address with a token, until Ctrl-C."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from vodkit.review.app import make_app, waiting_app
from vodkit.review.frames import Frames
from vodkit.review.jobs import Jobs, ModelSettings
from vodkit.review.project import Project, ProjectSettings, open_project
from vodkit.serve.web import Bound, Server, ServerSettings, bound, ctrl_c_stops

_EARLY_S, _SEEN_S = 1.0, 0.3
"""opening that takes longer, or longer after the first picture can be shown, is announced; most
wrong input is refused before"""


@contextmanager
def serving(
    project: ProjectSettings,
    model: ModelSettings,
    settings: ServerSettings,
    *,
    early: Callable[[str], None] | None = None,
) -> Iterator[tuple[str, "Serving"]]:
    """Bind the port and open the project; the address to open, and what runs it.

    The page answers at once; until the project is open, it shows what is being read, and the
    pictures of videos that were given.

    Args:
        project: what to review.
        model: what helps.
        settings: where the page is served.
        early: called with the address if opening takes long.

    Raises:
        InputError: what ``open_project`` refuses.
        OutputError: the port is taken.
    """
    with bound(settings) as place:
        page = Serving(place, _first(project))
        alarm = _Alarm(partial(early or (lambda _address: None), place.address))
        alarm.set(_EARLY_S)

        def seen(frames: list[Frames]) -> None:
            page.show(frames)
            alarm.set(_SEEN_S)

        try:
            with open_project(project, seen) as opened:
                alarm.stop()
                jobs = Jobs(opened, model)
                try:
                    page.open(opened, jobs)
                    with ctrl_c_stops(page.server):
                        yield place.address, page
                finally:
                    page.end()
                    jobs.close()
        finally:
            alarm.stop()
            page.end()


class _Alarm:
    """Calls something once, at a time that can be moved."""

    def __init__(self, does: Callable[[], None]) -> None:
        self._does = does
        self._timer = threading.Timer(0, does)
        self._rang = False

    def set(self, after_s: float) -> None:
        self.stop()
        if not self._rang:
            self._timer = threading.Timer(after_s, self._ring)
            self._timer.start()

    def stop(self) -> None:
        """It has rung when this returns, or never will."""
        self._timer.cancel()
        if self._timer.is_alive():
            self._timer.join()

    def _ring(self) -> None:
        self._rang = True
        self._does()


class Serving:
    """A page that answers: first what it waits for, then everything about its project."""

    project: Project
    jobs: Jobs

    def __init__(self, place: Bound, words: str) -> None:
        """Answer from now on, in a thread; ``words``: what the page waits for."""
        self._guard = place.guard()
        self._words = words
        self._app: Callable[..., Any] = waiting_app(self._guard, words)
        self.server = Server(self._answer, place)
        self._thread = threading.Thread(target=self.server.run, daemon=True)
        self._thread.start()

    def show(self, frames: list[Frames]) -> None:
        """Show pictures of these videos while their labels are read."""
        self._app = waiting_app(self._guard, self._words, frames)

    def open(self, project: Project, jobs: Jobs) -> None:
        """Answer everything about this project from now on."""
        self.project, self.jobs = project, jobs
        self._app = make_app(project, jobs, self._guard)

    def run(self) -> None:
        """Wait until ``stop`` or Ctrl-C."""
        self._thread.join()

    def stop(self) -> None:
        """End ``run``; may be called from any thread."""
        self.server.stop()

    def end(self) -> None:
        """Stop, and wait for the last answer."""
        self.stop()
        self._thread.join()

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)


def _first(project: ProjectSettings) -> str:
    """What opening the project takes its time for."""
    path = project.labels or project.run
    return "Opening the videos" if path is None else f"Reading {path.name}"
