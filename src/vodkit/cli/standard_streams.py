"""Standard input, output and error: closed, full, or in an encoding that lacks letters."""

import os
import sys
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import Any

from vodkit.ground.errors import OutputError
from vodkit.ground.process import reader_is_gone

_NAME = "standard output"


def prepare_streams() -> None:
    """Make the three streams safe to use.

    A closed descriptor is opened on the null device: otherwise the next file that is opened takes
    its number, and what a library prints goes into that file. Names of files and classes are
    printed in every locale: escaped where it lacks letters.

    Raises:
        OutputError: standard output is closed, so that results would be lost.
    """
    for number in range(3):
        # Open the null device at a descriptor that is closed
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout is sys.__stdout__:
        sys.stdout = _through(_Results, sys.stdout)
    if isinstance(sys.stderr, TextIOWrapper) and sys.stderr is sys.__stderr__:
        sys.stderr = _through(_Notes, sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if sys.stdout is None:
        raise OutputError("is closed; redirect it: > /dev/null", path=_NAME)


class ReaderGoneError(Exception):
    """The reader of standard output has closed it, as ``head`` does."""


def _through(kind: type[FileIO], stream: TextIOWrapper) -> TextIOWrapper:
    """``stream``, written through a file of ours."""
    raw = kind(stream.fileno(), "wb", closefd=False)
    return TextIOWrapper(
        BufferedWriter(raw),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
    )


class _Results(FileIO):
    """Standard output, whose errors name it."""

    def write(self, data: Any, /) -> int:
        """Write, or raise OutputError or ReaderGoneError."""
        try:
            return super().write(data)
        except OSError as error:
            _silence(self.fileno())
            if reader_is_gone(error):
                raise ReaderGoneError from error
            raise OutputError(f"cannot be written: {error.strerror}", path=_NAME) from error


class _Notes(FileIO):
    """Standard error: no work is lost for a note that cannot be written."""

    def write(self, data: Any, /) -> int:
        """Write what can be written."""
        try:
            return super().write(data)
        except OSError:
            _silence(self.fileno())
            return len(data)


def _silence(number: int) -> None:
    """Send what is still waiting to the null device: Python flushes once more when it ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, number)
    os.close(null)
