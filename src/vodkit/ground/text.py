"""Text of users and networks, made safe for screens, files and spreadsheets."""

import re

_USER = re.compile(r"(?<=://)[^/?#\s'\"]+@")
_SECRET = re.compile(
    r"([?&;][^=&;\s]*(?:pass|pwd|token|secret|key|auth|sig|cred|user|login)[^=&;\s]*=)[^&;\s'\"#]+",
    re.IGNORECASE,
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def redacted(text: str) -> str:
    """The text without the credentials of URLs in it.

    >>> redacted("rtsp://ann:p@ss@10.0.0.1/cam?channel=1&token=abc does not answer")
    'rtsp://***@10.0.0.1/cam?channel=1&token=*** does not answer'
    """
    if "://" not in text:
        return text
    return _SECRET.sub(r"\1***", _USER.sub("***@", text))


def csv_cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula: such text gets an apostrophe in front.

    >>> csv_cell("=1+1"), csv_cell("person")
    ("'=1+1", 'person')
    """
    return f"'{text}" if text.startswith(_FORMULA) else text
