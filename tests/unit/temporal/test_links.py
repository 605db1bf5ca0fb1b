"""Laws of linked scores: no memory is the still detector, windows are finite, cuts forget."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vodkit.ground.errors import SettingsError
from vodkit.ground.records import Detections
from vodkit.temporal.links import Links, LinkSettings
from vodkit.temporal.memory import Memory

RATE = 10
SETTINGS = LinkSettings()


def found(*rows):
    """Detections of (x1, y1, x2, y2, score, label) rows."""
    table = np.array(rows, float).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(int))


def walker(step, score, *, label=0, speed_px=3.0):
    return (10 + speed_px * step, 20, 30 + speed_px * step, 60, score, label)


def linked(frames, *, both=False, threshold=0.0, rate=RATE, settings=SETTINGS):
    """What comes out for each frame of ``frames``, by number."""
    links = Memory(Links(settings), threshold=threshold, both=both)
    out = [pair for n, one in enumerate(frames) for pair in links.push(n, n / rate, one)]
    out += links.cut()
    assert [number for number, _ in out] == list(range(len(frames)))
    return [detections for _, detections in out]


@st.composite
def videos(draw):
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    frames = []
    for _ in range(draw(st.integers(1, 12))):
        n = int(random.integers(0, 6))
        corner = random.uniform(0, 80, (n, 2))
        sides = random.uniform(5, 40, (n, 2))
        scores = np.sort(random.uniform(0.01, 0.99, n))[::-1]
        frames.append(Detections(np.hstack([corner, corner + sides]), scores, np.arange(n) % 2))
    return frames


@pytest.mark.parametrize("both", [False, True])
@given(frames=videos(), threshold=st.sampled_from([0.0, 0.05, 0.5]))
def test_without_strength_it_is_the_still_detector_to_the_bit(both, frames, threshold):
    settings = LinkSettings(strength=0)
    for before, after in zip(
        frames, linked(frames, both=both, threshold=threshold, settings=settings), strict=True
    ):
        assert after == before[before.scores >= np.float32(threshold)]


@given(frames=videos())
def test_a_frame_without_neighbours_in_the_window_is_the_still_detector_to_the_bit(frames):
    apart = 1 / (2 * SETTINGS.window_s)
    assert linked(frames, rate=apart) == frames


@given(frames=videos(), at=st.integers(0, 11))
def test_a_cut_is_a_fresh_start(frames, at):
    links = Memory(Links(SETTINGS), threshold=0.0)
    out = []
    for number, one in enumerate(frames):
        if number == at:
            out += links.cut()
        out += links.push(number, number / RATE, one)
    parts = linked(frames[:at]), linked(frames[at:])
    assert [one for _, one in out] == [*parts[0], *parts[1]]


@given(frames=videos())
def test_a_time_that_goes_back_clears_the_memory(frames):
    links = Memory(Links(SETTINGS), threshold=0.0)
    out = [one for n, found in enumerate(frames) for _, one in links.push(n, n / RATE, found)]
    again = [one for n, found in enumerate(frames) for _, one in links.push(n, n / RATE, found)]
    assert again == out


@pytest.mark.slow
@given(frames=videos())
def test_causal_links_do_not_see_the_future(frames):
    whole = linked(frames)
    for length in range(len(frames)):
        assert linked(frames[:length]) == whole[:length]


@given(frames=videos())
def test_both_sides_of_a_reversed_video_are_the_same_frames_reversed(frames):
    still = LinkSettings(steadiness=0)
    # Velocities come from the past alone, so without motion time has no direction.
    same = [frames[0]] * len(frames)
    ahead, back = (linked(x, both=True, settings=still) for x in (same, same[::-1]))
    for one, other in zip(ahead, back[::-1], strict=True):
        np.testing.assert_allclose(one.scores, other.scores, rtol=1e-4)


def test_resuming_needs_the_window_alone():
    frames = [found(walker(n, 0.2 + 0.6 * (n % 3 == 0))) for n in range(80)]
    whole = linked(frames)
    num = int(SETTINGS.window_s * RATE) + 3  # the window, and what the oldest velocity came from
    links = Memory(Links(SETTINGS), threshold=0.0)
    for n in range(50 - num, 80):
        for number, one in links.push(n, n / RATE, frames[n]):
            assert number < 50 or one == whole[number]


def test_a_weak_frame_of_a_steady_object_is_raised_and_a_lone_flash_is_not():
    frames = [found(walker(n, 0.8)) for n in range(20)]
    frames[15] = found(walker(15, 0.1), (200, 200, 230, 260, 0.3, 0))
    scores = linked(frames)[15].scores
    assert scores[0] > 0.4
    assert scores[1] == np.float32(0.3)


def test_a_flash_that_fits_nothing_sure_is_lowered_where_it_recurs_weakly():
    frames = [found(walker(n, 0.05, speed_px=0)) for n in range(20)]
    frames[15] = found(walker(15, 0.7, speed_px=0))
    assert linked(frames)[15].scores[0] < 0.3


def test_labels_do_not_mix():
    frames = [found(walker(n, 0.9)) for n in range(20)]
    frames[15] = found(walker(15, 0.3, label=1))
    assert linked(frames)[15].scores[0] == np.float32(0.3)


def test_a_partial_box_beside_an_object_does_not_inherit_its_score():
    frames = [found(walker(n, 0.9)) for n in range(20)]
    x1, y1, x2, y2, _, label = walker(15, 0.9)
    frames[15] = found(walker(15, 0.9), (x1, y1, x2, y2 - 8, 0.1, label))
    assert linked(frames)[15].scores[1] < 0.3


def test_frame_rates_agree():
    scores = []
    for rate in (15, 30):
        frames = [found(walker(n / rate, 0.8, speed_px=20)) for n in range(2 * rate)]
        frames[rate] = found(walker(1.0, 0.1, speed_px=20))
        scores.append(linked(frames, rate=rate)[rate].scores[0])
    assert scores[0] > 0.5
    assert scores[0] == pytest.approx(scores[1], abs=0.01)


def test_moving_boxes_do_not_lag():
    frames = [found(walker(n, 0.8)) for n in range(30)]
    for both in (False, True):
        box = linked(frames, both=both)[20].boxes_xyxy[0]
        np.testing.assert_allclose(box, walker(20, 0.8)[:4], atol=0.3)


def test_both_sides_bridge_more_than_the_past():
    frames = [found(walker(n, 0.8)) for n in range(30)]
    frames[2] = found(walker(2, 0.1))  # little past
    assert linked(frames, both=True)[2].scores[0] > linked(frames)[2].scores[0]


@pytest.mark.parametrize(
    "wrong",
    [{"lags_s": ()}, {"lags_s": (0.2, 0.1)}, {"strength": -1}, {"place": 0}, {"fade_s": 0}],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(SettingsError, match="allowed"):
        LinkSettings(**wrong)
