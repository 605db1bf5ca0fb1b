"""Starting and stopping the page: one address with a token, until Ctrl-C."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from vodkit.review.app import make_app
from vodkit.review.jobs import Jobs, ModelSettings
from vodkit.review.project import Project, ProjectSettings, open_project
from vodkit.serve.web import Bound, Server, ServerSettings, bound, ctrl_c_stops


@contextmanager
def serving(
    project: ProjectSettings, model: ModelSettings, settings: ServerSettings
) -> Iterator[tuple[str, "Serving"]]:
    """Open the project and bind the port; the address to open, and what runs it.

    Raises:
        InputError: what ``open_project`` refuses.
        OutputError: the port is taken.
    """
    with open_project(project) as opened, bound(settings) as place:
        jobs = Jobs(opened, model)
        try:
            app = make_app(opened, jobs, place.guard())
            page = Serving(app, place, opened, jobs)
            with ctrl_c_stops(page):
                yield place.address, page
        finally:
            jobs.close()


class Serving(Server):
    """A bound page, ready to run."""

    def __init__(self, app: Callable[..., Any], place: Bound, project: Project, jobs: Jobs) -> None:
        """Prepare the server; nothing is answered yet."""
        super().__init__(app, place)
        self.project = project
        self.jobs = jobs
