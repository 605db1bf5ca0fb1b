"""``vodkit serve``: detection in pictures, and tracking by sessions, over HTTP.

::

    POST   /v1/detect                          a JPEG or PNG; its detections
    POST   /v1/vision/detection                the same as DeepStack has it (serve/deepstack.py)
    POST   /v1/sessions                        a new session
    POST   /v1/sessions/ID/frames?time_s=1.5   its next frame, a JPEG or PNG; its tracks
    DELETE /v1/sessions/ID                     the end of a session
    GET    /v1/openapi.json                    all of this, for machines
    GET    /healthz                            whether it answers

Answers have the form of a line of ``predictions.jsonl``, and equal what `vodkit detect` and
`vodkit track` write of the same pictures.
"""

import math
from collections.abc import Awaitable, Callable
from functools import partial

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vodkit.formats.prediction_lines import frame_entry
from vodkit.ground.errors import InputError, VodkitError
from vodkit.ground.records import Detections, Frame, Tracks
from vodkit.serve import deepstack
from vodkit.serve.guard import Guard
from vodkit.serve.openapi import MOST_BYTES, OPENAPI, PICTURES
from vodkit.serve.sessions import BusyError, NoSessionError, Sessions
from vodkit.serve.web import Bound

Handler = Callable[[Sessions, Request], Awaitable[Response]]


def make_service(sessions: Sessions, place: Bound) -> Guard:
    """The application, protected; every request but for health and form needs the token."""
    routes = [
        Route(path, partial(_answered, sessions, handler), methods=[method])
        for path, method, handler in (
            ("/v1/detect", "POST", _detect),
            (deepstack.PATH, "POST", partial(deepstack.answer, token=place.token)),
            ("/v1/sessions", "POST", _begin),
            ("/v1/sessions/{name}/frames", "POST", _track),
            ("/v1/sessions/{name}", "DELETE", _end),
            ("/v1/openapi.json", "GET", _openapi),
            ("/healthz", "GET", _health),
        )
    ]
    private = ("/v1/detect", "/v1/sessions")
    limits = {"types": PICTURES, "forms": (deepstack.PATH,), "largest_body": MOST_BYTES}
    guard = place.guard(any_name=True, private=private, **limits)
    return Guard(Starlette(routes=routes), guard)


async def _answered(sessions: Sessions, handler: Handler, request: Request) -> Response:
    """The handler's answer; an error of ours as JSON with a status that fits."""
    about = {"success": False} if request.url.path == deepstack.PATH else {}
    try:
        return await handler(sessions, request)
    except BusyError as error:
        retry = {"Retry-After": str(max(math.ceil(error.retry_s), 1))}
        return JSONResponse(about | {"error": str(error)}, 429, headers=retry)
    except NoSessionError as error:
        return JSONResponse(about | {"error": str(error)}, 404)
    except InputError as error:
        return JSONResponse(about | {"error": str(error)}, 422)
    except VodkitError as error:
        return JSONResponse(about | {"error": str(error)}, 500)


async def _detect(sessions: Sessions, request: Request) -> Response:
    content = await request.body()
    return _found(sessions, *await run_in_threadpool(sessions.detect, content))


async def _begin(sessions: Sessions, request: Request) -> Response:
    del request
    name = await run_in_threadpool(sessions.begin)
    return JSONResponse({"id": name, "idle_s": sessions.settings.idle_s}, 201)


async def _track(sessions: Sessions, request: Request) -> Response:
    given = request.query_params.get("time_s", "")
    try:
        time_s = float(given)
    except ValueError:
        time_s = math.nan
    if not math.isfinite(time_s):
        raise InputError(f"time_s {given!r:.40}; allowed: seconds, as ?time_s=1.5")
    content = await request.body()
    name = request.path_params["name"]
    return _found(sessions, *await run_in_threadpool(sessions.track, name, content, time_s))


def _found(sessions: Sessions, frame: Frame, found: Detections | Tracks) -> Response:
    detector = sessions.detector
    content = frame_entry(frame.index, frame.time_s, found, detector.classes)
    about = {"width_px": frame.width_px, "height_px": frame.height_px, "model": detector.card.name}
    return JSONResponse(content | about)


async def _end(sessions: Sessions, request: Request) -> Response:
    await run_in_threadpool(sessions.end, request.path_params["name"])
    return Response(status_code=204)


async def _openapi(sessions: Sessions, request: Request) -> Response:
    del sessions, request
    return JSONResponse(OPENAPI)


async def _health(sessions: Sessions, request: Request) -> Response:
    del request
    return JSONResponse({"ok": True, "sessions": len(sessions)})
