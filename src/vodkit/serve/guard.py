"""What a service on the own machine must refuse: other sites, other hosts, other people.

Any page in the user's browser can send requests to 127.0.0.1, and a name server can make a foreign
name point there (DNS rebinding). So every request needs the right ``Host``, an ``Origin`` that is
our own where one is sent, and a cookie that only the holder of the token gets; every write needs a
JSON body and a header that other sites cannot send without asking.
"""

import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]

LARGEST_BODY = 4 * 2**20
FORM = "multipart/form-data"
LOGIN = "/api/login"
OWN_HEADER = b"x-vodkit"
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


@dataclass(frozen=True, kw_only=True)
class GuardSettings:
    """Which requests are let in."""

    token: str
    hosts: tuple[str, ...]
    """allowed values of the Host header, with port"""
    """empty: any; only where others can reach the host, and so need the token for everything"""
    cookie: str
    """name of the cookie: cookies do not tell ports apart"""
    private: tuple[str, ...] = ("/api/",)
    """begins of the paths that need the token"""
    types: tuple[str, ...] = ("application/json",)
    """types that a body may have"""
    forms: tuple[str, ...] = ()
    """paths that take a form with the token in it, which the application checks"""
    largest_body: int = LARGEST_BODY


class Guard:
    """ASGI middleware: refuses, with the reason, before the application sees the request."""

    def __init__(self, app: Callable[..., Awaitable[None]], settings: GuardSettings) -> None:
        """Protect ``app``."""
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope) if scope["type"] == "http" else (403, "http only")
        if refusal is not None:
            await self._read_off(scope, receive)
            await _refuse(send, *refusal)
            return
        limit = self._settings.largest_body
        await self._app(scope, _limited(receive, limit), _with_headers(send))

    async def _read_off(self, scope: Scope, receive: Receive) -> None:
        """Take the body of a request that is refused, unless it is long.

        A connection that is closed with data unread is reset, and the client may never see why.
        """
        length = _headers(scope).get(b"content-length", "") if scope["type"] == "http" else ""
        if not length.isdecimal() or not 0 < int(length) <= self._settings.largest_body:
            return
        while (await receive()).get("more_body"):
            pass

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Status and reason; None where the request is allowed."""
        headers = _headers(scope)
        host = headers.get(b"host", "")
        s = self._settings
        if s.hosts and host not in s.hosts:
            return 403, f"Host {host!r}; allowed: {', '.join(s.hosts)}"
        origin = headers.get(b"origin")
        if origin is not None and origin != f"http://{host}":
            return 403, f"Origin {origin!r}; allowed: http://{host}"
        if headers.get(b"sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            return 403, "requests from other sites are refused"
        kind, _, bearer = headers.get(b"authorization", "").partition(" ")
        given = bearer if kind.lower() == "bearer" else ""
        if scope["method"] not in {"GET", "HEAD"}:
            is_form = scope["path"] in s.forms
            if OWN_HEADER not in headers and not given and not is_form:
                return 403, "header X-Vodkit is missing"  # other sites cannot send either
            refusal = self._refusal_of_body(scope["method"], headers, is_form=is_form)
            if refusal is not None:
                return refusal
        if scope["path"].startswith(s.private) and scope["path"] != LOGIN:
            given = given or _cookie(headers.get(b"cookie", ""), s.cookie)
            if not hmac.compare_digest(given.encode(), s.token.encode()):
                how = "open the address that vodkit printed, or send Authorization: Bearer TOKEN"
                return 401, f"not signed in: {how}"
        return None

    def _refusal_of_body(
        self, method: str, headers: dict[bytes, str], *, is_form: bool
    ) -> tuple[int, str] | None:
        s = self._settings
        types = (FORM,) if is_form else s.types
        length = headers.get(b"content-length", "0" if method == "DELETE" else "")
        if length != "0" and headers.get(b"content-type", "").partition(";")[0] not in types:
            return 415, f"Content-Type; allowed: {', '.join(types)}"
        if not length.isdecimal() or int(length) > s.largest_body:
            return 413, f"Content-Length {length!r}; allowed: up to {s.largest_body}"
        return None


def _headers(scope: Scope) -> dict[bytes, str]:
    """Header values by name; a name that comes twice is joined, and so never what is allowed."""
    found: dict[bytes, str] = {}
    for name, value in scope["headers"]:
        text = value.decode("latin-1")
        found[name.lower()] = f"{found[name.lower()]}, {text}" if name.lower() in found else text
    return found


def _cookie(text: str, name: str) -> str:
    try:
        morsel = SimpleCookie(text).get(name)
    except CookieError:
        return ""
    return "" if morsel is None else morsel.value


async def _refuse(send: Send, status: int, reason: str) -> None:
    body = json.dumps({"error": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    headers += [(name.encode(), value.encode()) for name, value in HEADERS.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _limited(receive: Receive, limit: int) -> Receive:
    """``receive`` that ends a body which is longer than it said."""
    total = 0

    async def limited() -> Any:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        return {"type": "http.disconnect"} if total > limit else message

    return limited


def _with_headers(send: Send) -> Send:
    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start":
            own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            present = {name.lower() for name, _ in message["headers"]}
            message["headers"] = [
                *message["headers"],
                *(pair for pair in own if pair[0] not in present),
            ]
        await send(message)

    return sending
