"""Webhook: each event as a POST of its own, signed, until the address answers with 2xx."""

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Sequence
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from vodkit.ground.errors import SettingsError
from vodkit.ground.text import redacted
from vodkit.serve.courier import DeliveryError

SIGNATURE = "X-Vodkit-Signature"


class _NoRedirect(HTTPRedirectHandler):
    """A redirected POST would become a GET without its body."""

    def redirect_request(self, *_: Any) -> None:
        """Follow none."""


class Webhook:
    """A receiver of events at an HTTP address; see courier.Receiver."""

    def __init__(
        self, address: str, source: str, *, secret: str = "", timeout_s: float = 10.0
    ) -> None:
        """Connect with the first event.

        Args:
            address: http:// or https://, which may have a user and a password.
            source: name of the source, for the header ``X-Vodkit-Source``.
            secret: signs the body: header ``X-Vodkit-Signature``, as sha256=HEX of HMAC-SHA256.
            timeout_s: patience with an answer.

        Raises:
            SettingsError: no host, or a port that is no number.
        """
        parts = urlsplit(address)
        try:
            place = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname
        except ValueError as error:
            raise SettingsError(f"webhook {redacted(address)}: {error}") from error
        if not place:
            raise SettingsError(f"webhook {redacted(address)} has no host")
        self.name = redacted(urlunsplit(parts._replace(netloc=place)))
        self.key = f"webhook {self.name}"
        self._url = urlunsplit(parts._replace(netloc=place, fragment=""))
        self._headers = {"Content-Type": "application/json", "X-Vodkit-Source": source}
        if parts.username:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        self._secret, self._timeout_s = secret.encode(), timeout_s
        self._opener = build_opener(_NoRedirect)

    def begin(self, ongoing: Sequence[dict[str, Any]]) -> None:
        """See Receiver; a webhook keeps nothing."""

    def deliver(self, lines: Sequence[bytes]) -> int:
        """See Receiver."""
        for count, line in enumerate(lines):
            try:
                self._post(line.rstrip(b"\n"))
            except DeliveryError:
                if count == 0:
                    raise
                return count
        return len(lines)

    def close(self) -> None:
        """See Receiver."""

    def _post(self, body: bytes) -> None:
        headers = dict(self._headers)
        if self._secret:
            headers[SIGNATURE] = signature(body, self._secret)
        request = Request(self._url, data=body, headers=headers, method="POST")  # noqa: S310
        try:
            with self._opener.open(request, timeout=self._timeout_s):
                pass
        except HTTPError as error:
            error.close()
            raise DeliveryError(f"answers {error.code}") from error
        except URLError as error:
            raise DeliveryError(f"cannot be reached: {redacted(str(error.reason))}") from error
        except (OSError, HTTPException) as error:
            why = "no answer" if isinstance(error, TimeoutError) else redacted(str(error))
            raise DeliveryError(why) from error


def signature(body: bytes, secret: bytes) -> str:
    """What the header has for a body.

    >>> signature(b"{}", b"secret")[:15]
    'sha256=77325902'
    """
    return f"sha256={hmac.new(secret, body, hashlib.sha256).hexdigest()}"
