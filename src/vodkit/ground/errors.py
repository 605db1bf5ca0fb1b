"""Every error a user can meet, in one tree.

VodkitError                     exit 1   our own fault, unless a subclass says otherwise
├── InputError                  exit 2   what the user gave cannot be used
│   ├── SettingsError           exit 2   an option: unknown, of the wrong type, or contradictory
│   ├── FormatError(path, line) exit 2   a label or prediction file breaks its format
│   │   └── UnknownSizeError    exit 2   the labels lack the picture size; a video would give it
│   ├── VideoError(path, time_s)exit 2   a video cannot be opened or decoded (further)
│   ├── WeightsError            exit 2   weights missing, corrupt, or of other classes
│   ├── StorageError(url)       exit 2   a bucket does not answer, or refuses
│   ├── OutputError(path)       exit 2   a result cannot be written (rights, disk full)
│   │   └── BusyError           exit 2   another process is working there
│   └── TrainingError           exit 2   a training cannot go on under its settings
├── ShortageError               exit 2   no more threads, or memory; no file is to blame
├── PartialError                exit 3   the work ended, but not for every source or frame
└── ToldElsewhereError          as told  another process of the same work says why

A message says what happened, where, what was seen and what is allowed, in one line.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from vodkit.ground.text import redacted

Lack = Literal["threads", "memory", "threads or memory", "GPU memory"]
_RAISE = "close other programs, or raise the limit (ulimit {}, or the container's)"
_LACKS: dict[Lack, tuple[str, str]] = {
    "threads": ("the machine cannot start more threads or processes", _RAISE.format("-u")),
    "memory": ("the machine is out of memory", _RAISE.format("-v")),
    "threads or memory": (
        "the machine is out of threads or memory", _RAISE.format("-u, ulimit -v")
    ),
    "GPU memory": (
        "the GPU is out of memory",
        "close other programs that use it, lower the batch size, or use the CPU (--device cpu)",
    ),
}  # fmt: skip
_OF_THE_DISK = {
    errno.ENAMETOOLONG, errno.ENOSPC, errno.EROFS, errno.EIO, errno.EFBIG, errno.EMFILE,
    errno.ENFILE, getattr(errno, "EDQUOT", errno.ENOSPC),
}  # fmt: skip
_LONG_NAME = 120
# What Python, onnxruntime and OpenVINO (which has the system's words) say where a thread cannot be
# begun, and PyTorch and OpenCV where there is no memory.
_OF_THREADS = (
    "can't start new thread", "pthread_create failed", "Resource temporarily unavailable"
)  # fmt: skip
_OF_MEMORY = ("DefaultCPUAllocator", "Insufficient memory")
GPU_MEMORY_SIGNS = (
    "CUDA out of memory", "CUDA error: out of memory", "HIP out of memory",
    "MPS backend out of memory", "CUDNN_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_ALLOC_FAILED",
)  # fmt: skip
"""what PyTorch reports where a GPU has no memory left"""


class VodkitError(Exception):
    """Base of all errors vodkit raises on purpose."""

    exit_code = 1

    def __reduce__(self) -> tuple[Any, ...]:
        """Comes out of another process as it went in; else its parts would be given to it anew."""
        return _as_it_was, (type(self), self.args, self.__dict__)


def _as_it_was(kind: type[VodkitError], args: tuple[str, ...], own: dict[str, Any]) -> VodkitError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(own)
    return error


class InputError(VodkitError):
    """The user's input cannot be used; the message says which and what would be."""

    exit_code = 2


class SettingsError(InputError):
    """An option is unknown, of the wrong type, out of range, or contradicts another."""


class FormatError(InputError):
    """A file of labels or predictions breaks its format at ``path``, ``line`` (1-based)."""

    def __init__(self, message: str, *, path: str | Path, line: int | None = None) -> None:
        """Prefix the message with the place, as compilers do: ``path:line: message``."""
        self.path = str(path)
        self.line = line
        place = self.path if line is None else f"{self.path}:{line}"
        super().__init__(f"{place}: {message}")


class UnknownSizeError(FormatError):
    """Labels of a format without picture sizes, where no video gives the size."""


class VideoError(InputError):
    """A video cannot be opened, or not be decoded beyond ``time_s`` (None: nothing decoded)."""

    def __init__(self, message: str, *, path: str | Path, time_s: float | None = None) -> None:
        """Prefix the message with the path and, where known, the time in the video."""
        self.path = redacted(str(path))
        self.time_s = time_s
        self.message = message = redacted(message)
        place = self.path if time_s is None else f"{self.path} at {time_s:.3f} s"
        super().__init__(f"{place}: {message}")


class WeightsError(InputError):
    """Weights are missing, corrupt (sha256), or do not fit the model or its classes."""


class OutputError(InputError):
    """A result cannot be written: no rights, no space, or it is there already."""

    def __init__(self, message: str, *, path: str | Path) -> None:
        """Prefix the message with the path that could not be written."""
        self.path = str(path)
        super().__init__(f"{self.path}: {message}")


class ShortageError(VodkitError):
    """The machine has no more threads, processes or memory; no file is to blame."""

    exit_code = 2

    def __init__(self, seen: str, *, of: Lack = "threads") -> None:
        """``seen`` is the system's word for it."""
        lack, allowed = _LACKS[of]
        super().__init__(f"{lack} ({seen}); {allowed}")


def shortage_of(error: Exception) -> ShortageError | None:
    """What the machine lacks, if an error of the system or of a library says that; else None.

    >>> shortage_of(ValueError("no such class")) is None
    True
    >>> str(shortage_of(MemoryError("for a picture"))).partition("; ")[0]
    'the machine is out of memory (for a picture)'
    >>> str(shortage_of(RuntimeError("CUDA error: out of memory"))).partition("; ")[0]
    'the GPU is out of memory (CUDA error: out of memory)'
    """
    if isinstance(error, ShortageError):
        return error
    told = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
    lacks: dict[Lack, tuple[tuple[type[Exception], ...], tuple[str, ...]]]
    lacks = {
        "threads": ((BlockingIOError,), _OF_THREADS),
        "GPU memory": ((), GPU_MEMORY_SIGNS),
        "memory": ((MemoryError,), _OF_MEMORY),
    }
    for lack, (kinds, signs) in lacks.items():
        begins = [told.index(sign) for sign in signs if sign in told]
        if begins or isinstance(error, kinds):
            return ShortageError(told[min(begins, default=0) :].splitlines()[0], of=lack)
    return None


@contextmanager
def noticing_shortage() -> Iterator[None]:
    """Within, a library's word for a lack of threads or memory is a ShortageError."""
    try:
        yield
    except Exception as error:
        shortage = shortage_of(error)
        if shortage is None or shortage is error:
            raise
        raise shortage from error


def refusal_of(error: Exception) -> InputError | None:
    """What the system refused, if ``error`` is its error about a file or a full disk; else None.

    >>> str(refusal_of(OSError(errno.ENAMETOOLONG, "File name too long", "n" * 300)))
    'nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn...nnnnnnnnnnnnnnnnnnnn: File name too long'
    >>> refusal_of(ValueError("no such class")) is None
    True
    """
    if not isinstance(error, OSError) or isinstance(error, ConnectionError):
        return None
    if error.filename is None:
        return InputError(str(error.strerror)) if error.errno in _OF_THE_DISK else None
    name = str(error.filename)
    if len(name) > _LONG_NAME:
        name = f"{name[:40]}...{name[-20:]}"
    return OutputError(error.strerror or type(error).__name__, path=name)


@contextmanager
def needs(hint: str) -> Iterator[None]:
    """Within, optional packages are imported; SettingsError where one is not installed.

    Args:
        hint: what it is needed for, and how to install it; ``{name}``: of the missing module.
    """
    try:
        yield
    except ImportError as error:
        raise SettingsError(hint.replace("{name}", str(error.name))) from error


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Within, results are written to ``path``; OutputError where the system refuses."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write: {error.strerror}", path=path) from error


class PartialError(VodkitError):
    """The work ended with a part missing; the message counts what is there and what is not."""

    exit_code = 3


class BusyError(OutputError):
    """Another process is working in the folder that results are to go to."""


class StorageError(InputError):
    """A remote store cannot be read or written: no answer, no credentials, no such file system."""

    def __init__(self, message: str, *, url: str, is_transient: bool = False) -> None:
        """Prefix the message with the URL, without its credentials.

        Args:
            message: what failed, and what to do.
            url: what was read or written.
            is_transient: whether trying again later may succeed.
        """
        self.url = redacted(url)
        self.is_transient = is_transient
        super().__init__(f"{self.url}: {message}")


class TrainingError(InputError):
    """A training came to a loss that is not finite, or out of memory: other settings may not."""


class ToldElsewhereError(VodkitError):
    """Another process of the same work tells what went wrong; this one only ends."""

    def __init__(self, exit_code: int) -> None:
        """``exit_code`` is that of the other one's error."""
        self.exit_code = exit_code
        super().__init__("another process reports the reason")
