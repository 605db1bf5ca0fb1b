"""The form of the service, as OpenAPI 3.1; ``docs/openapi.json`` is a copy, kept by a test."""

from typing import Any, Final

from vodkit.ground.records import STATE_NAMES

MOST_BYTES: Final = 32 * 2**20
"""of one picture"""
PICTURES: Final = ("image/jpeg", "image/png", "application/octet-stream")

_ERRORS = {
    "401": "The token is missing or wrong.",
    "413": f"The body has more than {MOST_BYTES} bytes, or does not declare its length.",
    "415": f"The body is of another type than {', '.join(PICTURES)}.",
    "422": "The body is no picture, is too large, or does not follow the frames before.",
    "429": "Too many sessions or waiting requests; ask again after Retry-After seconds.",
}


def _answer(words: str, schema: str = "Error") -> dict[str, Any]:
    reference = {"$ref": f"#/components/schemas/{schema}"}
    return {"description": words, "content": {"application/json": {"schema": reference}}}


def _operation(
    verb: str, name: str, summary: str, answers: dict[str, Any], errors: str = "", **more: Any
) -> dict[str, Any]:
    """What a path does; ``errors``: the codes of ``_ERRORS`` that it may answer."""
    responses = answers | {code: _answer(_ERRORS[code]) for code in errors.split()}
    return {verb: {"summary": summary, "operationId": name, **more, "responses": responses}}


def _object(required: str, **properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": required.split(), "properties": properties}


_PICTURE = {
    "required": True,
    "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in PICTURES},
}
_FORM = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": _object(
                "image",
                image={"type": "string", "format": "binary"},
                min_confidence={"type": "number", "minimum": 0, "maximum": 1, "default": 0.4},
                api_key={"type": "string", "description": "The token, unless a header has it."},
            )
        }
    },
}
_GONE = _answer("The session does not exist, or was idle for too long.")
_SESSION = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
_TIME = {
    "name": "time_s",
    "in": "query",
    "required": True,
    "schema": {"type": "number"},
    "description": "When the frame was, in seconds; later than the frames before.",
}
_NUMBER, _INTEGER, _TEXT = {"type": "number"}, {"type": "integer"}, {"type": "string"}
_BOX: dict[str, Any] = {
    "type": "array",
    "items": _NUMBER,
    "minItems": 4,
    "maxItems": 4,
    "description": "x1, y1, x2, y2 in pixels of the picture.",
}
_FOUND: dict[str, Any] = {"box": _BOX, "label": _INTEGER, "class": _TEXT, "score": _NUMBER}
_ABOUT = {
    "frame": _INTEGER, "time_s": _NUMBER, "width_px": _INTEGER, "height_px": _INTEGER,
    "model": _TEXT,
}  # fmt: skip
_TRACK = _object(
    "id box label class score state hidden_s",
    id=_INTEGER,
    **_FOUND,
    state={"enum": list(STATE_NAMES)},
    hidden_s=_NUMBER,
    sigma_px=_NUMBER,
    hidden_behind=_INTEGER,
    p_present=_NUMBER,
    tentative={"type": "boolean"},
)
_DETECTION = _object("box label class score", **_FOUND)
_PREDICTION = _object(
    "label confidence x_min y_min x_max y_max",
    label=_TEXT,
    confidence=_NUMBER,
    **dict.fromkeys(("x_min", "y_min", "x_max", "y_max"), _INTEGER),
)

OPENAPI: Final[dict[str, Any]] = {
    "openapi": "3.1.0",
    "info": {
        "title": "vodkit serve",
        "version": "1",
        "description": "Detection in pictures, and tracking by sessions.",
    },
    "security": [{"token": []}],
    "paths": {
        "/v1/detect": _operation(
            "post", "detect", "Detect objects in a picture",
            {"200": _answer("The detections.", "Detections")}, "401 413 415 422 429",
            requestBody=_PICTURE,
        ),
        "/v1/vision/detection": _operation(
            "post", "deepstack", "Detect objects in a picture, as DeepStack does",
            {
                "200": _answer("The detections, the surest first.", "Predictions"),
                "415": _answer("The body is no multipart/form-data."),
            },
            "401 413 422 429", security=[{"token": []}, {}], requestBody=_FORM,
        ),
        "/v1/sessions": _operation(
            "post", "begin", "Begin a session, which tracks the frames of one video",
            {"201": _answer("The session.", "Session")}, "401 429",
        ),
        "/v1/sessions/{id}/frames": _operation(
            "post", "track", "Track objects into the next frame of a session",
            {"200": _answer("The tracks.", "Tracks"), "404": _GONE}, "401 413 415 422 429",
            parameters=[_SESSION, _TIME], requestBody=_PICTURE,
        ),
        "/v1/sessions/{id}": _operation(
            "delete", "end", "End a session",
            {"204": {"description": "It has ended."}, "404": _GONE}, "401",
            parameters=[_SESSION],
        ),
        "/healthz": _operation(
            "get", "health", "Whether the service answers",
            {"200": _answer("It does.", "Health")}, security=[],
        ),
    },
    "components": {
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        "schemas": {
            "Error": _object("error", error=_TEXT),
            "Health": _object("ok sessions", ok={"type": "boolean"}, sessions=_INTEGER),
            "Session": _object(
                "id idle_s", id=_TEXT, idle_s=_NUMBER
            ),
            "Predictions": _object(
                "success predictions",
                success={"const": True},
                predictions={"type": "array", "items": _PREDICTION},
            ),
            "Detections": _object(
                "frame time_s detections width_px height_px model",
                **_ABOUT,
                truncated={"type": "boolean"},
                detections={"type": "array", "items": _DETECTION},
            ),
            "Tracks": _object(
                "frame time_s tracks width_px height_px model",
                **_ABOUT,
                tracks={"type": "array", "items": _TRACK},
            ),
        },
    },
}  # fmt: skip
