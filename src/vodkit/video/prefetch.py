"""Work done ahead, in a thread: decoding goes on while a network runs or a picture is drawn.

FFmpeg, OpenCV and the runtimes let go of Python's lock while they compute, so a thread is enough.
The order of the items does not change, and an error comes out after the items before it, as it
would without the thread: results are the same bit for bit.
"""

import threading
from collections import deque
from collections.abc import Generator, Iterable
from typing import Generic, TypeVar

from vodkit.ground.errors import noticing_shortage
from vodkit.ground.runs import num_cores
from vodkit.ground.waiting import wait_until

T = TypeVar("T")

_DEPTH = 8


def depth_here(cores: int | None = None) -> int:
    """How many items to make ahead of a network that runs here: none on a single core.

    ``cores`` is by default what this process may use.

    >>> depth_here(1), depth_here(2)
    (0, 8)
    """
    return 0 if (num_cores() if cores is None else cores) <= 1 else _DEPTH


def ahead(items: Iterable[T], depth: int) -> Generator[T]:
    """The items, in order, of which up to ``depth`` are made before they are asked for.

    Closing the generator (or an error in its consumer) stops the thread and waits for the item
    that it is making. ``depth`` 0 makes none ahead, and no thread.

    >>> list(ahead(range(4), 2))
    [0, 1, 2, 3]
    """
    if depth < 1:
        yield from items
        return
    belt = _Belt(items, depth)
    try:
        yield from belt.taken()
    finally:
        belt.stop()


class _Belt(Generic[T]):
    """A thread that makes items, and the few that wait for the consumer."""

    def __init__(self, items: Iterable[T], depth: int) -> None:
        self._items = items
        self._depth = depth
        self._waiting: deque[T] = deque()
        self._changed = threading.Condition()
        self._stopped = False
        self._ended = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="ahead", daemon=True)
        with noticing_shortage():
            self._thread.start()

    def _work(self) -> None:
        """However it ends, the consumer learns of it: nobody waits for a dead thread."""
        try:
            self._make()
        except BaseException as error:  # noqa: BLE001 - raised again where the items are wanted
            self._failure = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _make(self) -> None:
        source = iter(self._items)
        try:
            for item in source:
                with self._changed:
                    self._waiting.append(item)
                    self._changed.notify_all()
                    self._changed.wait_for(
                        lambda: self._stopped or len(self._waiting) < self._depth
                    )
                    if self._stopped:
                        return
        finally:
            # A generator holds files open; they are closed in the thread that used them.
            if isinstance(source, Generator):
                source.close()

    def taken(self) -> Generator[T]:
        """The items as they are made; then the error that ended them, if one did."""
        while True:
            with self._changed:
                wait_until(self._changed, lambda: bool(self._waiting or self._ended))
                if not self._waiting:
                    break
                item = self._waiting.popleft()
                self._changed.notify_all()
            yield item
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """End the thread after the item it is at."""
        with self._changed:
            self._stopped = True
            self._waiting.clear()
            self._changed.notify_all()
        self._thread.join()
