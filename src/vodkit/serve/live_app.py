"""The live page: pictures, counters and events of the sources of a run that is at work."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from importlib.resources import files

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from vodkit.ground.errors import InputError
from vodkit.infer.event_log import EventTail, last_n
from vodkit.serve.board import Board
from vodkit.serve.guard import LOGIN, Guard, GuardSettings
from vodkit.serve.metrics import TYPE, metrics_text
from vodkit.serve.web import log_in

PAGE = {"live.html": "text/html", "live.js": "text/javascript", "live.css": "text/css"}
PRIVATE = ("/api/", "/live/")
_FRAME_S = 0.2  # least time between two pictures of a film
_LOOK_S = 0.25  # between two looks for new events
_HEARTBEAT_S = 15.0
_MOST_WATCHING = 16
_BOUNDARY = "vodkit-frame"


@dataclass
class _Service:
    board: Board
    guard: GuardSettings
    watching: int = 0
    """open films and streams of events"""


def make_live_app(board: Board, guard: GuardSettings) -> Guard:
    """The application, protected; ``guard.private`` has to contain ``PRIVATE``."""
    service = _Service(board, guard)
    routes = [
        Route(path, partial(_answered, service, handler), methods=[method])
        for path, method, handler in (
            ("/", "GET", _page),
            ("/static/{name}", "GET", _page),
            (LOGIN, "POST", _login),
            ("/live/{number:int}.jpg", "GET", _jpeg),
            ("/live/{number:int}.mjpg", "GET", _film),
            ("/api/sources", "GET", _sources),
            ("/api/tracks", "GET", _tracks),
            ("/api/events", "GET", _events),
            ("/healthz", "GET", _health),
            ("/metrics", "GET", _metrics),
        )
    ]
    return Guard(Starlette(routes=routes), guard)


async def _answered(
    service: _Service, handler: Callable[[_Service, Request], Awaitable[Response]], request: Request
) -> Response:
    try:
        return await handler(service, request)
    except InputError as error:
        return JSONResponse({"error": str(error)}, 422)


async def _page(service: _Service, request: Request) -> Response:
    del service
    name = request.path_params.get("name", "live.html")
    if name not in PAGE:
        return JSONResponse({"error": "no such file"}, 404)
    content = (files("vodkit.serve") / "static" / name).read_bytes()
    return Response(content, media_type=PAGE[name])


async def _login(service: _Service, request: Request) -> Response:
    return await log_in(service.guard, request)


def _number(service: _Service, request: Request) -> int:
    number, count = int(request.path_params["number"]), len(service.board.shown)
    if not 0 <= number < count:
        raise InputError(f"source {number}; allowed: 0 to {count - 1}")
    return number


async def _jpeg(service: _Service, request: Request) -> Response:
    found = await run_in_threadpool(service.board.jpeg, _number(service, request))
    if found is None:
        return JSONResponse({"error": "no frame came yet"}, 503)
    index, content = found
    return Response(content, media_type="image/jpeg", headers={"X-Vodkit-Frame": str(index)})


async def _film(service: _Service, request: Request) -> Response:
    number = _number(service, request)

    async def pictures() -> AsyncIterator[bytes]:
        last = -1
        while True:
            found = await run_in_threadpool(service.board.jpeg, number)
            if found is not None and found[0] != last:
                last, content = found
                head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\n"
                yield f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content + b"\r\n"
            await asyncio.sleep(_FRAME_S)

    return _stream(service, pictures(), f"multipart/x-mixed-replace; boundary={_BOUNDARY}")


def _stream(service: _Service, content: AsyncIterator[bytes], kind: str) -> Response:
    """An answer without an end; 429 where very many are open."""
    if service.watching >= _MOST_WATCHING:
        message = f"{service.watching} films and streams of events are open"
        return JSONResponse({"error": message}, 429, headers={"Retry-After": "10"})
    service.watching += 1

    async def counted() -> AsyncIterator[bytes]:
        try:
            async for part in content:
                yield part
        finally:
            service.watching -= 1

    return StreamingResponse(counted(), media_type=kind)


async def _sources(service: _Service, request: Request) -> Response:
    del request
    return JSONResponse({"sources": service.board.sources()})


async def _tracks(service: _Service, request: Request) -> Response:
    del request
    return JSONResponse({"sources": service.board.tracks()})


async def _events(service: _Service, request: Request) -> Response:
    """Server-sent events, whose ids have the last ``n`` of each source.

    A client that comes back sends the last id and misses nothing, also over a restart of vodkit.
    """
    folders = [one.folder for one in service.board.shown]
    known = request.headers.get("last-event-id") or request.query_params.get("after")
    if known is None:
        after = [await run_in_threadpool(last_n, folder) for folder in folders]
    else:
        words = known.split(",")
        if len(words) != len(folders) or not all(word.isdecimal() for word in words):
            raise InputError(
                f"Last-Event-ID {known!r:.60}; allowed: {len(folders)} numbers, as 3,0"
            )
        after = [int(word) for word in words]
    tails = [EventTail(folder, after=n) for folder, n in zip(folders, after, strict=True)]
    return _stream(service, _messages(tails, after), "text/event-stream")


async def _messages(tails: list[EventTail], after: list[int]) -> AsyncIterator[bytes]:
    yield b": vodkit\n\n"
    idle_s = 0.0
    while True:
        found = False
        for place, tail in enumerate(tails):
            for number, line in await run_in_threadpool(tail.take, 100):
                found, after[place] = True, number
                name, kind = ",".join(map(str, after)), json.loads(line)["type"]
                yield f"id: {name}\nevent: {kind}\ndata: ".encode() + line + b"\n"
        idle_s = 0.0 if found else idle_s + _LOOK_S
        if idle_s >= _HEARTBEAT_S:
            idle_s = 0.0
            yield b": still here\n\n"
        if not found:
            await asyncio.sleep(_LOOK_S)


async def _health(service: _Service, request: Request) -> Response:
    """200 while frames of all sources come, else 503; no names, since it needs no token."""
    del request
    down = sum(not one.is_up for one in service.board.shown)
    content = {"ok": not down, "sources": len(service.board.shown), "down": down}
    return JSONResponse(content, 503 if down else 200)


async def _metrics(service: _Service, request: Request) -> Response:
    del request
    return Response(metrics_text(service.board), media_type=TYPE)
