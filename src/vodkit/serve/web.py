"""A service on this machine: a bound port, a token, and a server that ends when it should."""

import asyncio
import hmac
import ipaddress
import json
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vodkit.ground.errors import InputError, OutputError, SettingsError
from vodkit.ground.settings import bounded, check_ranges
from vodkit.serve.guard import GuardSettings

_STOP_S = 0.2


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Where the page is served."""

    host: str = "127.0.0.1"
    port: int = bounded(0, low=0, high=65535)
    """0: any free one"""
    token: str = ""
    """empty: a random one; needed for a host that others can reach"""

    def __post_init__(self) -> None:
        """Check ranges."""
        check_ranges(self)
        if not is_loopback(self.host) and len(self.token) < 16:
            raise SettingsError(
                f"host {self.host} can be reached by others; give a token of 16 characters or "
                "more (VODKIT_TOKEN; vodkit review --token)"
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


@dataclass(frozen=True)
class Bound:
    """A port that is ours, and the token that its clients need."""

    listening: socket.socket
    host: str
    port: int
    token: str

    @property
    def address(self) -> str:
        """What a browser opens; with the token."""
        shown = "127.0.0.1" if self.host == "localhost" else self.host
        return f"http://{f'[{shown}]' if ':' in shown else shown}:{self.port}/#token={self.token}"

    def guard(self, *, any_name: bool = False, **more: Any) -> GuardSettings:
        """Which requests are let in.

        Args:
            any_name: a host that others can reach is called by any name; the token is enough.
            more: other fields of ``GuardSettings``.
        """
        hosts = {self.host, "localhost", "127.0.0.1", "[::1]"}
        allowed = tuple(f"{host}:{self.port}" for host in sorted(hosts))
        return GuardSettings(
            token=self.token,
            hosts=() if any_name and not is_loopback(self.host) else allowed,
            cookie=f"vodkit-{self.port}",
            **more,
        )


@contextmanager
def bound(settings: ServerSettings) -> Iterator[Bound]:
    """Bind the port; OutputError where it is taken."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((settings.host, settings.port))
            listening.listen()  # a client that comes before the server answers waits
        except OSError as error:
            message = f"cannot be used: {error.strerror}; --port 0 takes any free one"
            raise OutputError(message, path=f"{settings.host}:{settings.port}") from error
        token = settings.token or secrets.token_urlsafe(24)
        yield Bound(listening, settings.host, listening.getsockname()[1], token)


class Server:
    """An application on a bound port."""

    def __init__(self, app: Callable[..., Any], place: Bound) -> None:
        """Prepare uvicorn; nothing is answered yet."""
        self._socket = place.listening
        self._app = app
        config = uvicorn.Config(
            self._until_stopped,
            log_config=None,  # uvicorn's own closes all handlers of the process
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
            lifespan="off",
            ws="none",
            interface="asgi3",  # a method is not recognised as one
        )
        self._server = uvicorn.Server(config)

    def run(self) -> None:
        """Answer until ``stop`` or Ctrl-C."""
        with suppress(KeyboardInterrupt):  # uvicorn raises it once more after its own end
            asyncio.run(self._server.serve(sockets=[self._socket]))

    def stop(self) -> None:
        """End ``run``; may be called from any thread."""
        self._server.should_exit = True

    async def _until_stopped(self, scope: Any, receive: Any, send: Any) -> None:
        """The application, for which clients leave when the server stops.

        Pages hold a stream of events open; without this, each would end with a traceback.
        """
        is_open = False

        async def noted(message: Any) -> None:
            nonlocal is_open
            is_open = message["type"] == "http.response.start" or message.get("more_body", False)
            await send(message)

        async def receive_or_leave() -> Any:
            waiting = asyncio.ensure_future(receive())
            try:
                while not (await asyncio.wait({waiting}, timeout=_STOP_S))[0]:
                    if self._server.should_exit:
                        return {"type": "http.disconnect"}
                return waiting.result()
            finally:
                waiting.cancel()

        await self._app(scope, receive_or_leave, noted)
        if is_open and self._server.should_exit:
            await send({"type": "http.response.body", "body": b""})


@contextmanager
def in_background(server: Server) -> Iterator[None]:
    """Within, the server answers, in a thread of its own."""
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.stop()
        thread.join()


@contextmanager
def ctrl_c_stops(server: Server) -> Iterator[None]:
    """From now on Ctrl-C ends ``server.run``, also one that comes before it has begun."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda *_: server.stop())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


async def json_body(request: Request) -> dict[str, Any]:
    """The body of a request; InputError where it is no JSON object."""
    try:
        found = json.loads(await request.body())
    except ValueError as error:
        raise InputError(f"not JSON: {error}") from error
    if not isinstance(found, dict):
        raise InputError("allowed: a JSON object")
    return found


async def log_in(guard: GuardSettings, request: Request) -> Response:
    """Exchange the token for a cookie."""
    given = (await json_body(request)).get("token")
    right = isinstance(given, str) and hmac.compare_digest(given.encode(), guard.token.encode())
    if not right:
        return JSONResponse({"error": "wrong token"}, 401)
    response = JSONResponse({"ok": True})
    response.set_cookie(guard.cookie, guard.token, httponly=True, samesite="strict", path="/")
    return response
