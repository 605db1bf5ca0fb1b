"""The clock of a live source: the stream's own, continued over what breaks it."""

import numpy as np
import pytest

from vodkit.video.clock import Clock, Pace


def test_frames_without_a_time_at_the_begin_of_a_connection_make_no_leap() -> None:
    """FFmpeg gives the first picture of H.264 in RTP none; the stream's clock starts anywhere."""
    clock = Clock()
    times = [clock.time_s(None), *(clock.time_s(100 + i / 25) for i in range(5))]
    clock.expect_jump()
    times += [clock.time_s(None), *(clock.time_s(7000 + i / 25) for i in range(5))]
    steps = np.diff(times)
    assert (steps > 0).all()
    assert times[-1] < 10, "all was over in a moment"
    assert np.allclose(np.delete(steps, [0, 5, 6]), 1 / 25)


def test_the_first_time_of_a_stream_is_kept() -> None:
    clock = Clock()
    assert [clock.time_s(14.0), clock.time_s(14.5)] == [14.0, 14.5]


def test_a_clock_that_is_set_back_goes_on_with_its_own_steps() -> None:
    """As when a server sends a film again from its begin."""
    clock = Clock()
    times = [clock.time_s(begin + i / 25) for begin in (14.0, 2.0, 2.0) for i in range(100)]
    steps = np.diff(times)
    assert (steps > 0).all()
    assert np.allclose(steps, 1 / 25)
    assert clock.num_restarts == 2


@pytest.mark.parametrize("begin_s", [-4.0, 1.0, 3.84, 20.0, 95443.0])
def test_a_clock_that_restarts_within_a_connection_continues(begin_s: float) -> None:
    """It goes back, by two frames even, or leaps ahead of the time that passed."""
    clock = Clock()
    times = [clock.time_s(begin + i / 25) for begin in (0.0, begin_s) for i in range(100)]
    assert np.allclose(np.diff(times), 1 / 25)
    assert clock.num_restarts == 1


def test_a_clock_that_lacks_a_few_seconds_keeps_them() -> None:
    clock = Clock()
    times = [clock.time_s(begin + i / 25) for begin in (0.0, 9.0) for i in range(100)]
    assert times[100] - times[99] == pytest.approx(9 - 99 / 25)
    assert clock.num_restarts == 0


def test_frames_that_come_at_once_wait_for_their_turns_but_not_for_what_went_by() -> None:
    pace = Pace()
    assert pace.wait_s(14.0) == 0, "the first sets the clock"
    assert 0.2 < pace.wait_s(14.4) <= 0.4
    assert pace.wait_s(20.0) == 0, "pieces of a playlist went by"
    assert 0.2 < pace.wait_s(20.4) <= 0.4
    assert pace.wait_s(19.9) == 0, "a little late, to be caught up with"
    assert 0.2 < pace.wait_s(20.4) <= 0.4
    assert pace.wait_s(3.0) == 0, "the clock was set back"
    assert 0.2 < pace.wait_s(3.4) <= 0.4
