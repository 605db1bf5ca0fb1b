"""Starting and stopping the page: one address with a token, until Ctrl-C."""

import asyncio
import ipaddress
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import uvicorn

from vodkit.ground.errors import OutputError, SettingsError
from vodkit.review.app import make_app
from vodkit.review.guard import GuardSettings
from vodkit.review.jobs import Jobs, ModelSettings
from vodkit.review.project import Project, ProjectSettings, open_project


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Where the page is served."""

    host: str = "127.0.0.1"
    port: int = 0
    """0: any free one"""
    token: str = ""
    """empty: a random one; needed for a host that others can reach"""

    def __post_init__(self) -> None:
        """Check ranges."""
        if not 0 <= self.port < 65536:
            raise SettingsError(f"port is {self.port}; allowed: 0 to 65535")
        if not is_loopback(self.host) and len(self.token) < 16:
            raise SettingsError(
                f"host {self.host} can be reached by others; give --token, 16 characters or more"
            )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextmanager
def serving(
    project: ProjectSettings, model: ModelSettings, settings: ServerSettings
) -> Iterator[tuple[str, "Serving"]]:
    """Open the project and bind the port; the address to open, and what runs it.

    Raises:
        InputError: what ``open_project`` refuses.
        OutputError: the port is taken.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with open_project(project) as opened, socket.socket(family) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((settings.host, settings.port))
            listening.listen()  # who opens the address before the server answers waits
        except OSError as error:
            message = f"cannot be used: {error.strerror}; --port 0 takes any free one"
            raise OutputError(message, path=f"{settings.host}:{settings.port}") from error
        port = listening.getsockname()[1]
        token = settings.token or secrets.token_urlsafe(24)
        jobs = Jobs(opened, model)
        try:
            hosts = {settings.host, *(("localhost", "127.0.0.1", "[::1]"))}
            guard = GuardSettings(
                token=token,
                hosts=tuple(f"{host}:{port}" for host in sorted(hosts)),
                cookie=f"vodkit-{port}",
            )
            app = make_app(opened, jobs, guard)
            shown = "127.0.0.1" if settings.host == "localhost" else settings.host
            address = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/#token={token}"
            page = Serving(app, listening, opened, jobs)
            with _ctrl_c_stops(page):
                yield address, page
        finally:
            jobs.close()


@contextmanager
def _ctrl_c_stops(page: "Serving") -> Iterator[None]:
    """From now on Ctrl-C ends ``page.run``, also one that comes before it has begun."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda *_: page.stop())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Serving:
    """A bound page, ready to run."""

    def __init__(
        self, app: Callable[..., object], listening: socket.socket, project: Project, jobs: Jobs
    ) -> None:
        """Prepare uvicorn; nothing is answered yet."""
        self.project = project
        self.jobs = jobs
        self._socket = listening
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
            lifespan="off",
            ws="none",
        )
        self._server = uvicorn.Server(config)

    def run(self) -> None:
        """Answer until ``stop`` or Ctrl-C, which is how a review ends."""
        with suppress(KeyboardInterrupt):  # uvicorn raises it once more after its own end
            asyncio.run(self._server.serve(sockets=[self._socket]))

    def stop(self) -> None:
        """End ``run``; may be called from any thread."""
        self._server.should_exit = True
