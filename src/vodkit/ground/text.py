"""Text of users and networks, made safe for screens, files and spreadsheets; numbers with nouns."""

import csv
import io
import re
from collections.abc import Iterable

_USER = re.compile(r"(?<=://)[^/?#\s'\"]+@")
_SECRET = re.compile(
    r"([?&;][^=&;\s]*(?:pass|pwd|token|secret|key|auth|sig|cred|user|login)[^=&;\s]*=)[^&;\s'\"#]+",
    re.IGNORECASE,
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", *"\uff1d\uff0b\uff0d\uff20")  # also in full width
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.ASCII | re.IGNORECASE)


def counted(count: int, one: str, many: str = "") -> str:
    """A number with its noun.

    >>> counted(1, "video"), counted(2, "video"), counted(0, "box", "boxes")
    ('1 video', '2 videos', '0 boxes')
    """
    return f"{count} {one if count == 1 else many or one + 's'}"


def redacted(text: str) -> str:
    """The text without the credentials of URLs in it.

    >>> redacted("rtsp://ann:p@ss@10.0.0.1/cam?channel=1&token=abc does not answer")
    'rtsp://***@10.0.0.1/cam?channel=1&token=*** does not answer'
    """
    if "://" not in text:
        return text
    return _SECRET.sub(r"\1***", _USER.sub("***@", text))


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    r"""Rows as CSV. Text that a spreadsheet would run as a formula gets an apostrophe in front.

    All CSV files are written by this function, and read by ``csv_rows``.

    >>> csv_text([["class", "score"], ["=1+1", -0.5], ["-1.5", "a,b"]])
    'class,score\n\'=1+1,-0.5\n-1.5,"a,b"\n'
    """
    text = io.StringIO()
    plain = csv.writer(text, lineterminator="\n")
    quoting = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:
        cells = [_escaped(cell) if isinstance(cell, str) else cell for cell in row]
        breaks = any("\r" in cell for cell in cells if isinstance(cell, str))
        (quoting if breaks else plain).writerow(cells)  # csv leaves a lone \r without quotes
    return text.getvalue()


def csv_rows(text: str) -> list[list[str]]:
    r"""The rows of CSV text, without the apostrophes of ``csv_text``.

    Raises:
        csv.Error: not CSV.

    >>> csv_rows(csv_text([["=1+1", "'-x", "'s", "a\nb"]]))
    [['=1+1', "'-x", "'s", 'a\nb']]
    """
    return [[_plain(cell) for cell in row] for row in csv.reader(io.StringIO(text, newline=""))]


def _escaped(cell: str) -> str:
    return f"'{cell}" if _is_formula(cell) else cell


def _plain(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _is_formula(cell) else cell


def _is_formula(cell: str) -> bool:
    """Whether a cell, behind apostrophes, begins as a formula does; numbers are none."""
    return cell.lstrip("'").startswith(_FORMULA) and not _NUMBER.fullmatch(cell)
