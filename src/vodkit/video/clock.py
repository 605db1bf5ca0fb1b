"""The clocks of live sources: times that go on over what breaks them, and each frame's turn."""

import time

_BACK_S = 1.0  # a clock that goes back by less will soon be where it was
_LATE_S = 0.5  # what comes later than this begins anew; less is caught up with
_LEAP_S = 1.0  # nobody waits for longer: pieces of a playlist that went by are no silence


class Clock:
    """The stream's clock, continued over reconnections by the time that really passed."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self.last_s: float | None = None
        self._offset_s = 0.0
        self._jump = True
        self._seen_at = time.monotonic()

    def expect_jump(self) -> None:
        """The connection broke: the next time may start anywhere."""
        self._jump = True

    def time_s(self, pts_s: float | None) -> float:
        """Seconds since the first connection's zero; never goes backwards."""
        now = time.monotonic()
        passed_s = now - self._seen_at
        if pts_s is not None and pts_s + self._offset_s < (self.last_s or 0) - _BACK_S:
            self._jump = True  # a film that begins again, a camera that set its clock
        if self._jump and pts_s is not None:  # the first frames of a connection may have no time
            self._jump = False
            if self.last_s is not None:
                self._offset_s = self.last_s + passed_s - pts_s
        guess_s = (self.last_s or 0.0) + passed_s
        time_s = guess_s if pts_s is None else pts_s + self._offset_s
        if self.last_s is not None and time_s <= self.last_s:
            time_s = self.last_s + max(passed_s, 1e-3)  # the stream's clock stood still
        self.last_s, self._seen_at = time_s, now
        return time_s


class Pace:
    """Turns for the frames of a source that sends them in bursts, by their own times."""

    def __init__(self) -> None:
        """Of one connection."""
        self._zero_s: float | None = None
        """``time.monotonic()`` when the stream's clock stood at 0"""

    def wait_s(self, time_s: float) -> float:
        """Seconds until it is the turn of a frame with this time, which is the next one."""
        now = time.monotonic()
        wait_s = 0.0 if self._zero_s is None else self._zero_s + time_s - now
        if self._zero_s is None or not -_LATE_S <= wait_s <= _LEAP_S:
            self._zero_s = now - time_s
            return 0.0
        return max(wait_s, 0.0)
