"""The address of DeepStack, which Frigate, Viseron and other programs can call instead.

``POST /v1/vision/detection`` takes a form (``multipart/form-data``) with the picture as ``image``,
``min_confidence`` (0.4 if left out, as there) and, as ``api_key``, the token, unless a header has
it. Boxes are in whole pixels, and the surest comes first: clients stop at the first doubtful one.
"""

import hmac
import math
from collections.abc import Mapping
from email.message import Message
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vodkit.ground.errors import InputError
from vodkit.ground.records import Detections
from vodkit.serve.guard import FORM
from vodkit.serve.sessions import Sessions

PATH: Final = "/v1/vision/detection"
_MIN_CONFIDENCE = "0.4"


async def answer(sessions: Sessions, request: Request, *, token: str) -> Response:
    """The detections of the picture in a form; InputError where it holds none."""
    kind = request.headers.get("content-type", "")
    bearer = request.headers.get("authorization", "").partition(" ")[2]
    fields = fields_of(await request.body(), kind)
    key = fields["api_key"].strip() if "api_key" in fields else b""
    if not hmac.compare_digest(key or bearer.encode(), token.encode()):
        message = "api_key is not the token; send it in the form, or as Authorization: Bearer TOKEN"
        return JSONResponse({"success": False, "error": message}, 401)
    if "image" not in fields:
        raise InputError(f"the form has {', '.join(fields) or 'no fields'}; expected: image")
    least = _least(fields)
    _, found = await run_in_threadpool(sessions.detect, fields["image"])
    predictions = predictions_of(found, sessions.detector.classes, least)
    return JSONResponse({"success": True, "predictions": predictions})


def predictions_of(
    found: Detections, classes: tuple[str, ...], least: float
) -> list[dict[str, Any]]:
    """Detections with at least this score, the surest first."""
    rows = zip(found.boxes_xyxy.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True)
    return [
        {
            "label": classes[label],
            "confidence": score,
            **dict(zip(("x_min", "y_min", "x_max", "y_max"), map(round, box), strict=True)),
        }
        for box, score, label in sorted(rows, key=lambda row: -row[1])
        if score >= least
    ]


def fields_of(body: bytes, content_type: str) -> dict[str, bytes]:
    r"""The fields of a form by name, the last one of a name; InputError: it is none, or cut off.

    >>> body = b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--\r\n"
    >>> fields_of(body, "multipart/form-data; boundary=x")
    {'a': b'1'}
    """
    boundary = _parameter("content-type", content_type, "boundary")
    if not boundary:
        raise InputError(f"no boundary in Content-Type {content_type!r:.80}")
    _, *parts = (b"\r\n" + body).split(b"\r\n--" + boundary.encode())
    if not parts or not parts.pop().startswith(b"--"):
        raise InputError(f"the body is not a complete {FORM}")
    found: dict[str, bytes] = {}
    for part in parts:
        head, _, content = part.partition(b"\r\n\r\n")
        for line in head.decode("utf-8", "replace").splitlines():
            header, _, value = line.partition(":")
            if header.strip().lower() == "content-disposition":
                found[_parameter(header.strip(), value.strip(), "name")] = content
    return found


def _parameter(header: str, value: str, name: str) -> str:
    message = Message()
    message[header] = value
    found = message.get_param(name, "", header)
    return found if isinstance(found, str) else ""


def _least(fields: Mapping[str, bytes]) -> float:
    text = fields.get("min_confidence", _MIN_CONFIDENCE.encode()).decode("utf-8", "replace")
    try:
        least = float(text)
    except ValueError:
        least = math.nan
    if not 0 <= least <= 1:
        raise InputError(f"min_confidence is {text!r:.40}; allowed: 0 to 1")
    return least
