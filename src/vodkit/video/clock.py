"""The clocks of live sources: times continued over restarts, and each frame's turn."""

import time  # perf_counter: monotonic counts in steps of 15.6 ms on Windows before Python 3.13

from vodkit.video.restarts import BACK_S, LEAP_S

_SILENCE_S = 1.0  # without a frame for longer, the time that passed counts in a restart
_LATE_S = 0.5  # what comes later than this starts over; less is caught up with
_LEAP_S = 1.0  # nobody waits for longer: pieces of a playlist that went by are no silence


class Clock:
    """The stream's clock, continued over restarts and reconnections."""

    def __init__(self) -> None:
        """Start before the first frame."""
        self.last_s: float | None = None
        self.num_restarts = 0
        """how often the clock of a connection went back or leapt ahead"""
        self._offset_s = 0.0
        self._step_s = 0.0
        self._jump = True
        self._seen_at = time.perf_counter()

    def expect_jump(self) -> None:
        """The connection broke: the next time may start anywhere."""
        self._jump = True

    def time_s(self, pts_s: float | None) -> float:
        """Seconds since the first connection's zero; always after the last one.

        After a reconnection the time that passed is added. Where the clock of a connection goes
        back, or leaps ahead of the time that passed, the frame follows the last one as usual.
        """
        now = time.perf_counter()
        passed_s = now - self._seen_at
        if pts_s is not None and self.last_s is not None and not self._jump:
            ahead_s = pts_s + self._offset_s - self.last_s
            if ahead_s < -BACK_S or ahead_s > passed_s + LEAP_S:
                self.num_restarts += 1
                step_s = passed_s if passed_s > _SILENCE_S or not self._step_s else self._step_s
                self._offset_s = self.last_s + step_s - pts_s
        if self._jump and pts_s is not None:  # the first frames of a connection may have no time
            self._jump = False
            if self.last_s is not None:
                self._offset_s = self.last_s + passed_s - pts_s
        guess_s = (self.last_s or 0.0) + passed_s
        time_s = guess_s if pts_s is None else pts_s + self._offset_s
        if self.last_s is not None and time_s <= self.last_s:
            time_s = self.last_s + max(passed_s, 1e-3)  # the stream's clock stood still
        elif self.last_s is not None and pts_s is not None:
            self._step_s = time_s - self.last_s
        self.last_s, self._seen_at = time_s, now
        return time_s


class Pace:
    """Turns for the frames of a source that sends them in bursts, by their own times."""

    def __init__(self) -> None:
        """Of one connection."""
        self._zero_s: float | None = None
        """``time.perf_counter()`` when the stream's clock stood at 0"""

    def wait_s(self, time_s: float) -> float:
        """Seconds until it is the turn of a frame with this time, which is the next one."""
        now = time.perf_counter()
        wait_s = 0.0 if self._zero_s is None else self._zero_s + time_s - now
        if self._zero_s is None or not -_LATE_S <= wait_s <= _LEAP_S:
            self._zero_s = now - time_s
            return 0.0
        return max(wait_s, 0.0)
