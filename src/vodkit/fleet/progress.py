"""``progress.json``: how far a tree is, for dashboards and scripts that only read a file.

A count reads the manifest of every video. So a worker counts at most a fiftieth of its time, and
once more at its end. Of several that write at the same time, the last one counts once more after it
has written, as for ``failed.jsonl``: the file of a finished tree holds its final counts.
"""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from vodkit.fleet.sources import items_of
from vodkit.fleet.tree import Status, Tree
from vodkit.ground.errors import VodkitError

PROGRESS = "progress.json"
_LEAST_S = 10.0
_SHARE = 50
"""times as long as a count took, the next one waits"""


def counts_of(status: Status) -> dict[str, int]:
    """Videos by what became of them: each in one of the counts."""
    return {
        "done": len(status.done),
        "partial": len(status.partial),
        "failed": len(status.failed.keys() - status.partial),
        "claimed": len(status.claimed),
        "unfinished": len(status.unfinished),
        "missing": len(status.missing),
    }


class Progress:
    """What one worker writes of the tree that it works on."""

    def __init__(self, tree: Tree, notify: Callable[[str], None]) -> None:
        """``notify``: called where the file cannot be written, which stops no work."""
        self._tree, self._notify = tree, notify
        self._next_s = 0.0

    def step(self) -> None:
        """A video has ended: count, if the last count is long enough ago."""
        began_s = time.monotonic()
        if began_s >= self._next_s:
            self.write()
            now_s = time.monotonic()
            self._next_s = now_s + max(_LEAST_S, _SHARE * (now_s - began_s))

    def write(self) -> None:
        """Count and write, until the file holds what the tree says."""
        try:
            counts = self._counts()
            while counts != self._written():
                at = datetime.now(UTC).isoformat(timespec="seconds")
                content = json.dumps({"at": at, **counts}, indent=2) + "\n"
                self._tree.place.write(PROGRESS, content.encode())
                counts = self._counts()
        except VodkitError as error:
            self._notify(f"{PROGRESS} is not up to date: {error}")

    def _counts(self) -> dict[str, Any]:
        record = self._tree.record()
        status = self._tree.status(items_of(record.sources if record else ()))
        return {**counts_of(status), "left": status.left}

    def _written(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        with suppress(ValueError, TypeError):  # damaged: it is written anew
            found = dict(json.loads(self._tree.place.read(PROGRESS) or b"{}"))
        found.pop("at", None)
        return found
