"""Stored views come in turn, so that none comes twice before all have come once."""

import numpy as np
import pytest
import torch

from vodkit.train.batches import Share, cached_batches, views_in_turn


def test_every_view_of_every_sample_comes_once_in_as_many_epochs() -> None:
    rng = np.random.default_rng(1)
    seen = np.zeros((7, 4), int)
    for epoch in range(4):
        order = rng.permutation(7)
        seen[order, views_in_turn(order, count=4, seed=3, epoch=epoch)] += 1
    assert np.all(seen == 1)


def test_samples_do_not_all_show_the_same_view() -> None:
    views = views_in_turn(np.arange(50), count=4, seed=0, epoch=0)
    assert set(views.tolist()) == {0, 1, 2, 3}


def test_a_sample_that_comes_twice_comes_in_two_views() -> None:
    order = np.array([2, 0, 2, 1, 2])
    views = views_in_turn(order, count=3, seed=0, epoch=5)
    assert len(set(views[order == 2].tolist())) == 3


def test_pictures_as_they_are_when_there_is_one_view() -> None:
    assert views_in_turn(np.array([3, 1]), count=1, seed=9, epoch=2).tolist() == [0, 0]


class Noted:
    """A store of views that tells which were asked for."""

    def __init__(self, views: int) -> None:
        self.views = views

    def batch(self, _indices: list[int], views: list[int], _device: torch.device) -> list[int]:
        return views


@pytest.mark.parametrize(
    ("views", "plain", "expected"), [(4, False, {1, 2, 3}), (4, True, {0}), (1, False, {0})]
)
def test_changed_epochs_see_changed_views_and_plain_ones_the_plain(
    views: int, expected: set[int], *, plain: bool
) -> None:
    share = Share(rank=0, world=1, batch_size=8, accumulate=1)
    made = cached_batches(
        Noted(views),  # type: ignore[arg-type]
        np.arange(24),
        share,
        skip=0,
        seed=0,
        epoch=1,
        plain=plain,
        device=torch.device("cpu"),
    )
    assert {view for batch in made for view in batch} == expected
