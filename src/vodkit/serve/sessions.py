"""Detection and tracking for clients: one detector, a follower for each session, limits on all.

The detector works in one thread, which uses all cores; requests wait for it in order. One that
finds too many before it is refused at once (``BusyError``), so that no client waits without end.
"""

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from vodkit.detect.base import Detector
from vodkit.ground.errors import InputError, VodkitError
from vodkit.ground.records import Detections, Frame, Tracks
from vodkit.ground.settings import check_ranges, setting
from vodkit.infer.flow import motion_for
from vodkit.infer.follow import Follower, make_follower
from vodkit.infer.settings import FULL, InferSettings
from vodkit.video.limits import Limits
from vodkit.video.motion import Motion
from vodkit.video.pictures import frame_of

T = TypeVar("T")


class BusyError(VodkitError):
    """There is too much to do; a client may ask again after ``retry_s``."""

    def __init__(self, message: str, retry_s: float) -> None:
        """Say what there is too much of."""
        super().__init__(message)
        self.retry_s = retry_s


class NoSessionError(VodkitError):
    """The session does not exist, or was idle for too long."""


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """Limits of the service."""

    sessions: int = setting(64, "Sessions at once.", low=1)
    idle_s: float = setting(300.0, "A session without a frame for so long ends (s).", above=0)
    waiting: int = setting(16, "Requests that may wait for the detector.", low=1)
    pixels: int = setting(25_000_000, "Most pixels of a picture.", low=1)

    def __post_init__(self) -> None:
        """Check ranges."""
        check_ranges(self)


@dataclass
class _Session:
    follower: Follower
    motion: Motion | None
    """compares its frames; None: the detector takes no motion"""
    size_px: tuple[int, int] | None = None
    """width and height of the first picture, which all have"""
    num_frames: int = 0
    last_s: float = float("-inf")
    used_s: float = field(default_factory=time.monotonic)


class Sessions:
    """A detector, and the clients that wait for it. Its methods may be called from any thread."""

    def __init__(
        self, detector: Detector, wanted: InferSettings, settings: ServiceSettings | None = None
    ) -> None:
        """``wanted``: as of `vodkit track`; its tracker is that of every session."""
        self.detector, self.settings = detector, settings or ServiceSettings()
        self._wanted = wanted
        self._limits = Limits(max_pixels=self.settings.pixels)
        self._sessions: dict[str, _Session] = {}
        self._changing = threading.Lock()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="vodkit-detector")
        self._num_waiting = 0

    def detect(self, content: bytes) -> tuple[Frame, Detections]:
        """The detections of one picture, as `vodkit detect` finds them.

        Raises:
            VideoError: no picture, or too large.
            BusyError: too many requests wait.
        """

        def work() -> tuple[Frame, Detections]:
            frame = self._frame(content)
            (found,) = self.detector.detect([frame])
            return frame, found

        return self._in_turn(work)

    def begin(self) -> str:
        """A new session. BusyError: there are too many."""
        with self._changing:
            now_s = time.monotonic()
            idle = [n for n, one in self._sessions.items() if self._left_s(one, now_s) <= 0]
            for name in idle:
                del self._sessions[name]
            if len(self._sessions) >= self.settings.sessions:
                retry_s = min(self._left_s(one, now_s) for one in self._sessions.values())
                raise BusyError(f"{len(self._sessions)} sessions are open", retry_s)
            name = secrets.token_urlsafe(12)
            motion = motion_for(self.detector, self._wanted)
            self._sessions[name] = _Session(make_follower(self._wanted), motion)
            return name

    def track(self, name: str, content: bytes, time_s: float) -> tuple[Frame, Tracks]:
        """The tracks of the next frame of a session, as `vodkit track` finds them.

        Args:
            name: of the session.
            content: a picture of the same size as those before.
            time_s: later than those before.

        Raises:
            NoSessionError: it does not exist, or ended.
            InputError: the picture or its time does not follow those before.
            VideoError: no picture, or too large.
            BusyError: too many requests wait.
        """

        def work() -> tuple[Frame, Tracks]:
            session = self._of(name)
            if not time_s > session.last_s:
                seen = f"time_s {time_s:g} after {session.last_s:g}"
                raise InputError(f"{seen}; allowed: later than the frames before")
            frame = self._frame(content, session.num_frames, time_s)
            size_px = (frame.width_px, frame.height_px)
            if session.size_px not in (None, size_px):
                raise InputError(f"picture of {size_px} px; allowed: {session.size_px}, as before")
            if session.motion is not None:
                frame = session.motion.step(frame)
            (found,) = self.detector.detect([frame])
            tracks = session.follower.step(frame, found).tracks
            assert tracks is not None
            session.size_px, session.last_s = size_px, time_s
            session.num_frames += 1
            session.used_s = time.monotonic()
            return frame, tracks

        self._of(name)
        return self._in_turn(work)

    def end(self, name: str) -> None:
        """End a session. NoSessionError: it does not exist."""
        self._of(name)
        with self._changing:
            self._sessions.pop(name, None)

    def close(self) -> None:
        """Finish what waits, and end."""
        self._worker.shutdown()

    def __len__(self) -> int:
        """Sessions that are open."""
        return len(self._sessions)

    def _of(self, name: str) -> _Session:
        session = self._sessions.get(name)
        if session is None or self._left_s(session, time.monotonic()) <= 0:
            ends = f"one ends after {self.settings.idle_s:g} s without a frame"
            raise NoSessionError(f"no such session; {ends}")
        return session

    def _left_s(self, session: _Session, now_s: float) -> float:
        return session.used_s + self.settings.idle_s - now_s

    def _frame(self, content: bytes, index: int = 0, time_s: float = 0.0) -> Frame:
        full = self._wanted.size == FULL
        size_px_of: Callable[[int, int], tuple[int, int] | None]
        size_px_of = (lambda *_: None) if full else self.detector.decode_px
        return frame_of(content, size_px_of, index=index, time_s=time_s, limits=self._limits)

    def _in_turn(self, work: Callable[[], T]) -> T:
        """What ``work`` returns, done in the detector's thread."""
        with self._place():
            future: Future[T] = self._worker.submit(work)
            return future.result()

    @contextmanager
    def _place(self) -> Iterator[None]:
        with self._changing:
            if self._num_waiting >= self.settings.waiting:
                raise BusyError(f"{self._num_waiting} requests wait for the detector", 1.0)
            self._num_waiting += 1
        try:
            yield
        finally:
            with self._changing:
                self._num_waiting -= 1
