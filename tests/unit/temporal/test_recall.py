"""Laws of the learnt memory: untrained it is links, without memory it is the still detector."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vodkit.ground.errors import SettingsError
from vodkit.ground.records import Detections
from vodkit.temporal.links import Links, LinkSettings
from vodkit.temporal.memory import Memory, asked_of
from vodkit.temporal.recall import (
    VIEW_NAMES,
    Recall,
    RecallSettings,
    Views,
    first_weights,
    network_of,
    recalled,
    views,
)

KEY_SIZE = 4
RATE = 10


def some_weights(*, trained=True):
    weights = first_weights()
    if trained:
        rng = np.random.default_rng(3)
        for name in ("hidden.weight", "out.weight", "out.bias", "likeness"):
            noise = rng.normal(0, 0.3, weights[name].shape)
            weights[name] = weights[name] + noise.astype(np.float32)
    return weights


def a_head(*, both=False, trained=True, **shape):
    return Recall(RecallSettings(both=both, **shape), network_of(some_weights(trained=trained)))


def ran(rule, frames, *, both=False, rate=RATE, cut_at=()):
    memory = Memory(rule, threshold=0.0, both=both)
    out = []
    for number, one in enumerate(frames):
        if number in cut_at:
            out += memory.cut()
        out += memory.push(number, number / rate, one)
    out += memory.cut()
    assert [number for number, _ in out] == list(range(len(frames)))
    return [detections for _, detections in out]


def bare(frames):
    return [replace(one, features=None) for one in frames]


@st.composite
def videos(draw, most_frames=10, most=5):
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    frames = []
    for _ in range(draw(st.integers(1, most_frames))):
        n = int(random.integers(0, most + 1))
        corner = random.uniform(0, 80, (n, 2))
        sides = random.uniform(5, 40, (n, 2))
        scores = np.sort(random.uniform(0.01, 0.99, n))[::-1]
        features = random.normal(size=(n, KEY_SIZE))
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        boxes = np.hstack([corner, corner + sides])
        frames.append(Detections(boxes, scores, np.arange(n) % 2, features=features))
    return frames


@pytest.mark.parametrize("both", [False, True])
@settings(max_examples=30, deadline=None)
@given(frames=videos())
def test_an_untrained_head_is_links(both, frames):
    found = ran(a_head(both=both, trained=False), frames, both=both)
    wanted = ran(Links(LinkSettings()), frames, both=both)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(np.sort(one.scores), np.sort(other.scores), atol=2e-5)
        boxes = (np.sort(x.boxes_xyxy, axis=0) for x in (one, other))
        np.testing.assert_allclose(*boxes, atol=2e-3)


@pytest.mark.parametrize("both", [False, True])
@settings(deadline=None)
@given(frames=videos())
def test_without_memory_it_is_the_still_detector_to_the_bit(both, frames):
    apart = 1 / (2 * LinkSettings().window_s)
    assert ran(a_head(both=both), frames, both=both, rate=apart) == bare(frames)
    assert ran(a_head(both=both), frames[:1], both=both) == bare(frames[:1])


@settings(max_examples=30, deadline=None)
@given(frames=videos(), at=st.integers(0, 9))
def test_a_cut_is_a_fresh_start(frames, at):
    parts = ran(a_head(), frames[:at]), ran(a_head(), frames[at:])
    assert ran(a_head(), frames, cut_at=(at,)) == [*parts[0], *parts[1]]


@settings(max_examples=30, deadline=None)
@given(frames=videos())
def test_times_that_leap_clear_the_memory(frames):
    memory = Memory(a_head(), threshold=0.0)
    once, again, later = (
        [one for n, x in enumerate(frames) for _, one in memory.push(n, start + n / RATE, x)]
        for start in (0.0, 0.0, 1e3)
    )
    assert once == again
    for one, other in zip(once, later, strict=True):  # lags are rounded at large times
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(frames=videos())
def test_a_causal_head_does_not_see_the_future(frames):
    whole = ran(a_head(), frames)
    for length in range(len(frames)):
        assert ran(a_head(), frames[:length]) == whole[:length]


@settings(deadline=None)
@given(frames=videos(most_frames=4, most=8))
def test_candidates_beyond_the_most_are_the_still_detectors(frames):
    found = ran(a_head(most=2), frames)
    for before, after in zip(frames, found, strict=True):
        kept = np.isin(before.scores[2:], after.scores)
        assert kept.all()


@pytest.mark.slow
@settings(deadline=None)
@given(frames=videos())
def test_classes_that_a_head_has_not_learnt_are_the_still_detectors(frames):
    head = a_head()
    found = ran(Recall(head.settings, head._network, labels=[1]), frames)
    alone = [one[one.labels == 1] for one in frames]
    learnt = ran(head, alone)
    found, learnt = ([replace(one, still_scores=None) for one in some] for some in (found, learnt))
    for before, after, mine in zip(bare(frames), found, learnt, strict=True):
        assert after[after.labels == 0] == before[before.labels == 0]
        assert after[after.labels == 1] == mine


@pytest.mark.parametrize("both", [False, True])
@settings(max_examples=15, deadline=None)
@given(frames=videos())
def test_numpy_and_torch_agree(both, frames):
    rule = a_head(both=both)
    kept = []
    for number, one in enumerate(frames):
        kept.append(rule.remember(number / RATE, one, kept[-1] if kept else None))
    here = kept[len(kept) // 2]
    asked = asked_of(kept, here.time_s, rule.lags_s, both=both)
    seen = views(here, asked, rule.settings)
    weights = some_weights()
    batch = Views(*(torch.from_numpy(getattr(seen, name))[None] for name in VIEW_NAMES))
    ours = recalled(np, weights, seen)
    theirs = recalled(torch, {name: torch.from_numpy(v) for name, v in weights.items()}, batch)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other[0].numpy(), atol=1e-3, rtol=1e-3)


def walker(time_s, score):
    x = 10 + 20 * time_s
    features = np.eye(1, KEY_SIZE)
    return Detections(np.array([[x, 20, x + 20, 60]]), np.array([score]), [0], features=features)


def test_frame_rates_agree():
    scores = []
    for rate in (15, 30):
        frames = [walker(n / rate, 0.1 if n == rate else 0.8) for n in range(2 * rate)]
        scores.append(ran(a_head(), frames, rate=rate)[rate].scores[0])
    assert scores[0] != pytest.approx(0.1, abs=0.1)
    assert scores[0] == pytest.approx(scores[1], abs=0.03)


def test_resuming_needs_the_window_alone():
    frames = [walker(n / RATE, 0.2 + 0.6 * (n % 3 == 0)) for n in range(80)]
    whole = ran(a_head(), frames)
    memory = Memory(a_head(), threshold=0.0)
    for n in range(50 - int(LinkSettings().window_s * RATE) - 3, 80):
        for number, one in memory.push(n, n / RATE, frames[n]):
            assert number < 50 or one == whole[number]


@pytest.mark.parametrize("wrong", [{"most": 0}, {"remembered": 301}, {"lags_s": (0.2, 0.1)}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(SettingsError, match="allowed"):
        RecallSettings(**wrong)
