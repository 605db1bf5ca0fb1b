"""Detection and tracking for clients: one detector, a follower for each session, limits on all.

The detector works in one thread, which uses all cores, and takes what waits together, up to its
batch size: clients that send at the same time share one pass of the network. That is done only
where a trial shows that it changes no bit of any detection. A request that finds too many before
it is refused at once (``BusyError``), so that no client waits without end.
"""

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import numpy as np

from vodkit.detect.base import Detector
from vodkit.ground.errors import InputError, VodkitError
from vodkit.ground.records import Detections, Frame, Tracks
from vodkit.infer.flow import motion_for
from vodkit.infer.follow import Follower, make_follower
from vodkit.infer.settings import FULL, InferSettings
from vodkit.samples.samples import CLIP_B
from vodkit.serve.settings import ServiceSettings
from vodkit.video.limits import Limits
from vodkit.video.motion import Motion
from vodkit.video.pictures import frame_of
from vodkit.video.reader import open_video

T = TypeVar("T")


class BusyError(VodkitError):
    """There is too much to do; a client may ask again after ``retry_s``."""

    def __init__(self, message: str, retry_s: float) -> None:
        """Say what there is too much of."""
        super().__init__(message)
        self.retry_s = retry_s


class NoSessionError(VodkitError):
    """The session does not exist, or was idle for too long."""


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


@dataclass(frozen=True)
class _Picture:
    """What a client sends."""

    content: bytes
    time_s: float = 0.0
    session: str = ""


@dataclass
class _Job:
    """A picture that waits for the detector."""

    frame: Frame
    session: str
    """empty: of none"""
    prepare: Callable[[Frame], Frame]
    finish: Callable[[Frame, Detections], Any]
    """makes the answer; both are called in the detector's thread"""
    answer: "Future[Any]" = field(default_factory=Future)


class Sessions:
    """A detector, and the clients that wait for it. Its methods may be called from any thread."""

    def __init__(
        self, detector: Detector, wanted: InferSettings, settings: ServiceSettings | None = None
    ) -> None:
        """``wanted``: as of `vodkit track`; its tracker is that of every session.

        Its ``batch_size``: most pictures in one pass of the network; 0: what the detector
        prefers, if batches change no bit.
        """
        self.detector, self.settings = detector, settings or ServiceSettings()
        self._wanted = wanted
        self._limits = Limits(max_pixels=self.settings.pixels)
        self._sessions: dict[str, _Session] = {}
        self._changing = threading.Lock()
        self.num_waiting = 0
        """requests that are not answered yet"""
        self.batch_size = wanted.batch_size or _harmless_batch(detector, wanted, self._decode_px)
        """most pictures in one pass of the network"""
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._worker = threading.Thread(target=self._work, name="vodkit-detector", daemon=True)
        self._worker.start()

    def detect(self, content: bytes) -> tuple[Frame, Detections]:
        """The detections of one picture, as `vodkit detect` finds them.

        Raises:
            VideoError: no picture, or too large.
            BusyError: too many requests wait.
        """
        return self._in_turn(_Picture(content), lambda frame: frame, lambda *pair: pair)

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

        def prepare(frame: Frame) -> Frame:
            session = self._of(name)
            if not time_s > session.last_s:
                seen = f"time_s {time_s:g} after {session.last_s:g}"
                raise InputError(f"{seen}; allowed: later than the frames before")
            size_px = (frame.width_px, frame.height_px)
            if session.size_px not in (None, size_px):
                raise InputError(f"picture of {size_px} px; allowed: {session.size_px}, as before")
            frame = replace(frame, index=session.num_frames)
            return frame if session.motion is None else session.motion.step(frame)

        def finish(frame: Frame, found: Detections) -> tuple[Frame, Tracks]:
            session = self._of(name)
            tracks = session.follower.step(frame, found).tracks
            assert tracks is not None
            session.size_px = frame.width_px, frame.height_px
            session.last_s = time_s
            session.num_frames += 1
            session.used_s = time.monotonic()
            return frame, tracks

        self._of(name)
        return self._in_turn(_Picture(content, time_s, session=name), prepare, finish)

    def end(self, name: str) -> None:
        """End a session. NoSessionError: it does not exist."""
        self._of(name)
        with self._changing:
            self._sessions.pop(name, None)

    def close(self) -> None:
        """Finish what waits, and end."""
        self._jobs.put(None)
        self._worker.join()

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

    def _decode_px(self, width_px: int, height_px: int) -> tuple[int, int] | None:
        """The size that pictures are decoded to; None: their own."""
        is_full = self._wanted.decode == FULL
        return None if is_full else self.detector.decode_px(width_px, height_px)

    def _in_turn(
        self,
        given: _Picture,
        prepare: Callable[[Frame], Frame],
        finish: Callable[[Frame, Detections], T],
    ) -> T:
        """What ``finish`` returns, called in the order of requests."""
        with self._place():
            size_px_of, limits = self._decode_px, self._limits
            frame = frame_of(given.content, size_px_of, time_s=given.time_s, limits=limits)
            job = _Job(frame, given.session, prepare, finish)
            self._jobs.put(job)
            answer: T = job.answer.result()
            return answer

    def _work(self) -> None:
        """Detect in what waits, and answer, until the end."""
        job = self._jobs.get()
        while job is not None:
            jobs, held = self._together(job)
            self._answer(jobs)
            job = held or self._jobs.get()

    def _together(self, first: _Job) -> tuple[list[_Job], _Job | None]:
        """What waits with this job, and a job that has to wait for one of them: of its session."""
        jobs = [first]
        while len(jobs) < self.batch_size and (more := self._one_more()) is not None:
            if more.session and any(more.session == job.session for job in jobs):
                return jobs, more
            jobs.append(more)
        return jobs, None

    def _one_more(self) -> _Job | None:
        try:
            job = self._jobs.get_nowait()
        except Empty:
            return None
        if job is None:  # the end, which comes after these
            self._jobs.put(None)
        return job

    def _answer(self, jobs: Sequence[_Job]) -> None:
        ready = []
        for job in jobs:
            with _answering(job):
                job.frame = job.prepare(job.frame)
                ready.append(job)
        try:
            found = self.detector.detect([job.frame for job in ready]) if ready else []
        except Exception:  # noqa: BLE001 - it belongs to one of the clients
            for job in ready:
                with _answering(job):
                    (one,) = self.detector.detect([job.frame])
                    job.answer.set_result(job.finish(job.frame, one))
            return
        for job, one in zip(ready, found, strict=True):
            with _answering(job):
                job.answer.set_result(job.finish(job.frame, one))

    @contextmanager
    def _place(self) -> Iterator[None]:
        with self._changing:
            if self.num_waiting >= self.settings.waiting:
                raise BusyError(f"{self.num_waiting} requests wait for the detector", 1.0)
            self.num_waiting += 1
        try:
            yield
        finally:
            with self._changing:
                self.num_waiting -= 1


@contextmanager
def _answering(job: _Job) -> Iterator[None]:
    """Within, an error is the answer, and stops no other job."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - it is raised for the client
        job.answer.set_exception(error)


def _harmless_batch(
    detector: Detector,
    wanted: InferSettings,
    decode_px: Callable[[int, int], tuple[int, int] | None],
) -> int:
    """The batch size that the detector prefers, if frames of a sample show that no bit changes.

    1 where detections of a frame depend on the frames beside it: networks round otherwise in
    batches with some libraries and devices.
    """
    count = detector.batch_size
    with open_video(CLIP_B) as video:
        size_px = decode_px(video.info.width_px, video.info.height_px)
        frames = list(islice(video.frames(every=4, size_px=size_px), count))
    motion = motion_for(detector, wanted)
    if motion is not None:
        frames = [motion.step(frame) for frame in frames]
    alone = [detector.detect([frame])[0] for frame in frames]
    together = detector.detect(frames)
    return count if all(map(_are_equal, alone, together)) else 1


def _are_equal(one: Detections, two: Detections) -> bool:
    pairs = ((one.boxes_xyxy, two.boxes_xyxy), (one.scores, two.scores), (one.labels, two.labels))
    return all(np.array_equal(a, b) for a, b in pairs)
