"""The page's server: a dozen routes over one open project.

No path ever comes from the client: videos are named by number, static files by a fixed list.
"""

import asyncio
import getpass
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.resources import files
from typing import Any, TypeAlias

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from vodkit.formats.table import FORMATS
from vodkit.ground.arrays import FloatArray
from vodkit.ground.errors import InputError, OutputError, VodkitError
from vodkit.ground.records import VideoInfo
from vodkit.review.continuations import continuations
from vodkit.review.curve import Track, to_json
from vodkit.review.document import Part
from vodkit.review.frames import Frames
from vodkit.review.jobs import Jobs
from vodkit.review.journal import ConflictError, Entry
from vodkit.review.project import Project
from vodkit.review.queue import review_queue
from vodkit.serve.guard import Guard, GuardSettings
from vodkit.serve.web import json_body, log_in

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]

TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
PAGE = (
    "index.html", "style.css", "app.js", "api.js", "commands.js", "curve.js", "dialogs.js",
    "forms.js", "joins.js", "keys.js", "parts.js", "player.js", "queue.js", "stage.js", "state.js",
    "sync.js", "timeline.js", "tracks.js",
)  # fmt: skip
"""the files of the page; no other is served"""
_HEARTBEAT_S = 15.0


@dataclass
class _Service:
    """What the routes share."""

    project: Project
    jobs: Jobs
    guard: GuardSettings
    who: str
    listeners: set["asyncio.Queue[dict[str, Any]]"] = field(default_factory=set)
    loop: asyncio.AbstractEventLoop | None = None

    def tell(self, message: dict[str, Any]) -> None:
        """Send a message to every open page; may be called from any thread."""
        if self.loop is not None:
            with suppress(RuntimeError):  # the server has ended
                self.loop.call_soon_threadsafe(self._tell, message)

    def _tell(self, message: dict[str, Any]) -> None:
        for listener in self.listeners:
            listener.put_nowait(message)


def make_app(project: Project, jobs: Jobs, guard: GuardSettings) -> Guard:
    """The application, protected."""
    try:
        who = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        who = "me"
    service = _Service(project, jobs, guard, who)
    routes = [
        Route("/", partial(_page, service)),
        Route("/static/{name}", partial(_page, service)),
        Route("/api/login", partial(_login, service), methods=["POST"]),
        *(
            Route(path, partial(_answer, service, handler), methods=[method])
            for path, method, handler in (
                ("/api/state", "GET", _state),
                ("/api/videos/{video:int}/labels", "GET", _labels),
                ("/api/videos/{video:int}/frames/{frame:int}", "GET", _frame),
                ("/api/videos/{video:int}/queue", "GET", _queue),
                ("/api/videos/{video:int}/joins", "GET", _joins),
                ("/api/events", "GET", _events),
                ("/api/actions", "POST", _act),
                ("/api/export", "POST", _export),
                ("/api/jobs", "POST", _job),
            )
        ),
    ]
    jobs.tell = service.tell
    return Guard(Starlette(routes=routes), guard)


def waiting_app(guard: GuardSettings, words: str, frames: Sequence[Frames] = ()) -> Guard:
    """The page before its project is open: it answers 503 with ``words``, and is asked again.

    Videos that are open already are described under ``/api/early``, and their pictures shown.
    """
    early = [_described(one.info.path, one.info, one.times_s()) for one in frames]

    async def wait(_request: Request) -> Response:
        return JSONResponse({"error": words}, 503)

    async def enter(request: Request) -> Response:
        return await log_in(guard, request)

    async def describe(_request: Request) -> Response:
        return JSONResponse({"videos": early})

    async def show(request: Request) -> Response:
        try:
            return await _picture(frames, request)
        except VodkitError as error:
            return JSONResponse({"error": str(error)}, 422)

    seen = [
        Route("/api/early", describe),
        Route("/api/videos/{video:int}/frames/{frame:int}", show),
    ]

    routes = [
        Route("/", partial(_page, None)),
        Route("/static/{name}", partial(_page, None)),
        Route("/api/login", enter, methods=["POST"]),
        *(seen if frames else ()),
        Route("/api/{rest:path}", wait, methods=["GET", "POST"]),
    ]
    return Guard(Starlette(routes=routes), guard)


async def _answer(
    service: _Service, handler: Callable[..., Awaitable[Response]], request: Request
) -> Response:
    """The handler's answer; an error of ours as JSON with a status that fits."""
    service.loop = asyncio.get_running_loop()
    try:
        return await handler(service, request)
    except ConflictError as error:
        journal = service.project.journal
        parts = [_changed(part, journal.document.parts.get(part), journal.versions.get(part, 0))
                 for part in error.parts]  # fmt: skip
        return JSONResponse({"error": str(error), "conflict": parts}, 409)
    except OutputError as error:
        return JSONResponse({"error": str(error)}, 507)
    except InputError as error:
        return JSONResponse({"error": str(error)}, 422)
    except VodkitError as error:
        return JSONResponse({"error": str(error)}, 500)


async def _page(service: _Service | None, request: Request) -> Response:
    del service
    name = request.path_params.get("name", "index.html")
    if name not in PAGE:
        return JSONResponse({"error": "no such file"}, 404)
    content = (files("vodkit.review") / "static" / name).read_bytes()
    return Response(content, media_type=TYPES[name.rpartition(".")[2]])


async def _login(service: _Service, request: Request) -> Response:
    return await log_in(service.guard, request)


def _video(service: _Service, request: Request) -> int:
    return _numbered(request, len(service.project.paths))


def _numbered(request: Request, count: int) -> int:
    video = int(request.path_params["video"])
    if not 0 <= video < count:
        raise InputError(f"video {video}; allowed: 0 to {count - 1}")
    return video


async def _state(service: _Service, request: Request) -> Response:
    del request
    project = service.project
    videos = [
        _described(subject.source, subject.info, timing.times_s)
        for subject, timing in zip(project.subjects, project.journal.document.timings, strict=True)
    ]
    return JSONResponse(
        {
            "videos": videos,
            "classes": project.journal.document.classes,
            "n": project.journal.n,
            "reach": project.journal.document.timings[0].reach_s,
            "who": service.who,
            "notes": project.notes,
            "formats": list(FORMATS),
            "jobs": service.jobs.running(),
            "learn": service.jobs.can_learn(),
        }
    )


def _described(name: str, info: VideoInfo, times_s: FloatArray) -> dict[str, Any]:
    """What the page knows of a video."""
    return {
        "name": name,
        "frames": len(times_s),
        "width": info.width_px,
        "height": info.height_px,
        "times": [round(float(t), 6) for t in times_s],
    }


async def _labels(service: _Service, request: Request) -> Response:
    video = _video(service, request)
    return JSONResponse(await run_in_threadpool(service.project.labels, video))


async def _frame(service: _Service, request: Request) -> Response:
    return await _picture(service.project.frames, request)


async def _picture(videos: Sequence[Frames], request: Request) -> Response:
    frames = videos[_numbered(request, len(videos))]
    width = request.query_params.get("width", "0")
    if not width.isdecimal():
        raise InputError(f"width {width!r}; allowed: a number")
    packet = await run_in_threadpool(frames.jpeg, int(request.path_params["frame"]), int(width))
    return Response(packet, media_type="image/jpeg")


async def _queue(service: _Service, request: Request) -> Response:
    video = _video(service, request)
    found = await run_in_threadpool(review_queue, service.project, video)
    return JSONResponse(found)


async def _joins(service: _Service, request: Request) -> Response:
    video = _video(service, request)
    document, info = service.project.journal.document, service.project.subjects[video].info
    size = (info.width_px, info.height_px)
    found = await run_in_threadpool(continuations, document, video, size)
    return JSONResponse({"pairs": [asdict(one) for one in found]})


async def _act(service: _Service, request: Request) -> Response:
    body = await json_body(request)
    asked = _Asked.of(body, service.who)
    entry = await run_in_threadpool(_commit, service, asked)
    answer = _told(entry)
    service.tell(answer)
    # The journal has the action: the person does not wait for the dataset file.
    return JSONResponse(answer, background=BackgroundTask(service.project.save_if_due))


@dataclass(frozen=True)
class _Asked:
    action: Mapping[str, Any]
    id: str
    who: str
    known: dict[Part, int] | None

    @classmethod
    def of(cls, body: Mapping[str, Any], who: str) -> "_Asked":
        """A request to act, checked."""
        action, request_id, known = body.get("action"), body.get("id"), body.get("known")
        name = body.get("who", who)
        if not isinstance(action, dict) or action.get("do") == "put":
            raise InputError("action; allowed: an object, of any kind but put")
        for word, value in (("id", request_id), ("who", name)):
            if not isinstance(value, str) or not 0 < len(value) <= 100:
                raise InputError(f"{word} {value!r:.120}; allowed: 1 to 100 characters")
        versions: dict[Part, int] | None = None
        if known is not None:
            video = action.get("video")
            if not isinstance(known, dict) or not all(
                key.isdecimal() and type(value) is int for key, value in known.items()
            ):
                raise InputError("known; allowed: version numbers by track id")
            versions = {("track", video, int(key)): value for key, value in known.items()}
        return cls(action, str(request_id), str(name), versions)


def _commit(service: _Service, asked: _Asked) -> Entry:
    """Store the action, with the numbers filled in that the page cannot know."""
    journal, action = service.project.journal, dict(asked.action)
    with service.jobs.committing:
        if action.get("do") in {"undo", "redo"} and "n" not in action:
            found = journal.last_of(asked.who, undone=action["do"] == "redo")
            if found is None:
                raise InputError(f"nothing to {action['do']}")
            action["n"] = found
        for name, verb in (("track", "draw"), ("new", "split")):
            if action.get("do") == verb and name not in action:
                action[name] = journal.next_id(int(action.get("video", 0)))
        return journal.commit(action, id=asked.id, who=asked.who, known=asked.known)


def _told(entry: Entry) -> dict[str, Any]:
    """What the pages are told of an entry: what has changed, or that all of a video has."""
    common = {"type": "entry", "n": entry.n, "id": entry.id, "who": entry.who,
              "do": entry.action["do"]}  # fmt: skip
    many = len(entry.after) > 50
    if many:
        videos = sorted({part[1] for part in entry.after if len(part) > 1})
        return {**common, "reload": videos}
    changed = [_changed(part, value, entry.n) for part, value in entry.after.items()]
    return {**common, "changed": changed}


def _changed(part: Part, value: Any, n: int) -> dict[str, Any]:
    """A part as it was after entry ``n``, which pages take over if theirs is older."""
    shown = to_json(value) if isinstance(value, Track) else value
    return {"part": list(part), "n": n, "value": shown}


async def _export(service: _Service, request: Request) -> Response:
    body = await json_body(request)
    form, accepted = body.get("format"), body.get("accepted", False)
    if form is None:
        return JSONResponse({"path": str(await run_in_threadpool(service.project.save))})
    if not isinstance(form, str) or type(accepted) is not bool:
        raise InputError("format, accepted; allowed: a name, and true or false")
    export = partial(service.project.export, form, only_accepted=accepted)
    path, lost = await run_in_threadpool(export)
    return JSONResponse({"path": str(path), "lost": lost})


async def _job(service: _Service, request: Request) -> Response:
    body = await json_body(request)
    await run_in_threadpool(service.jobs.ask, body)
    return JSONResponse({"jobs": service.jobs.running()})


async def _events(service: _Service, request: Request) -> Response:
    """Server-sent events: every entry from now on, and what jobs report."""
    after = request.query_params.get("after", "0")
    listener: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    service.listeners.add(listener)
    journal = service.project.journal
    missed = [
        _told(entry) for entry in journal.entries[int(after) if after.isdecimal() else journal.n :]
    ]

    async def stream() -> AsyncIterator[str]:
        try:
            yield f"data: {json.dumps({'type': 'hello', 'n': journal.n})}\n\n"
            for message in missed:
                yield f"data: {json.dumps(message)}\n\n"
            while True:
                try:
                    message = await asyncio.wait_for(listener.get(), _HEARTBEAT_S)
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                yield f"data: {json.dumps(message)}\n\n"
        finally:
            service.listeners.discard(listener)

    return StreamingResponse(stream(), media_type="text/event-stream")
