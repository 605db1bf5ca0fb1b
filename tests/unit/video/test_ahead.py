"""Work done ahead changes neither the order, nor where errors come out, nor who is waited for."""

import threading
from collections.abc import Iterator

import pytest

from vodkit.ground.errors import InputError
from vodkit.video.prefetch import ahead, depth_here


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_the_order_is_kept(depth: int) -> None:
    assert list(ahead(range(20), depth)) == list(range(20))
    assert list(ahead([], depth)) == []


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_an_error_comes_out_after_the_items_before_it(depth: int) -> None:
    def broken() -> Iterator[int]:
        yield from range(5)
        raise InputError("no such picture")

    made = ahead(broken(), depth)
    assert [next(made) for _ in range(5)] == list(range(5))
    with pytest.raises(InputError, match="no such picture"):
        next(made)


def test_no_more_is_made_than_was_asked_for_and_closing_ends_the_thread() -> None:
    made: list[int] = []
    full = threading.Event()

    def items() -> Iterator[int]:
        for number in range(1000):
            made.append(number)
            if number == 3:
                full.set()
            yield number

    before = threading.active_count()
    running = ahead(items(), 3)
    assert next(running) == 0
    assert full.wait(10)
    running.close()
    assert len(made) <= 5
    assert threading.active_count() == before


def test_few_cores_do_one_thing_at_a_time() -> None:
    assert [depth_here(cores) for cores in (1, 2, 3, 64)] == [0, 8, 8, 8]
