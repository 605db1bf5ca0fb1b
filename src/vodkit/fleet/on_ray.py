"""The workers as actors of Ray: on this machine, or on a cluster.

Each actor has one loaded detector and is given whole videos, the next one as soon as it is free. An
actor that dies is started again by Ray, and its video given to it again, twice; a video that ends
its worker a third time is recorded as failed. Results are the same folders as without Ray.
"""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Self

from vodkit.fleet.failures import MOST_DEATHS, fatal_failure
from vodkit.fleet.settings import FleetSettings
from vodkit.fleet.sources import Item
from vodkit.fleet.tree import Record, Tree
from vodkit.fleet.worker import Result, Worker
from vodkit.ground.errors import SettingsError, VodkitError, needs
from vodkit.infer.filming import Film


class RayWorker:
    """A ``Worker`` in an actor's process."""

    def __init__(
        self, url: str, mine: Record, fleet: FleetSettings, film: Film | None, *, folder: str
    ) -> None:
        """``url``: root of the tree; ``folder``: of the command; the others as of ``Worker``."""
        from vodkit.ground import process

        with suppress(OSError):  # sources may be relative to it; another machine may not have it
            os.chdir(folder)
        process.settle()
        self._worker: Worker | None = None
        self._how = (Tree(url), mine, fleet)
        self._film = film

    def begin(self) -> VodkitError | None:
        """Load the detector; the error that hinders it is returned, not raised: it is no crash."""
        try:
            if self._worker is None:
                self._worker = Worker(*self._how, film=self._film)
        except VodkitError as error:
            return error
        return None

    def work(self, item: Item, tries: int) -> Result | VodkitError:
        """See ``Worker.work``; an actor that Ray started again begins first."""
        error = self.begin()
        if error is not None:
            return error
        assert self._worker is not None
        try:
            return self._worker.work(item, tries=tries)
        except VodkitError as fault:
            return fault


class RayCrew:
    """Actors that wait for videos; a context manager, at whose end they are gone."""

    def __init__(
        self, tree: Tree, mine: Record, fleet: FleetSettings, *, film: Film | None
    ) -> None:
        """Connect to Ray, or start it here, and begin the actors.

        Raises:
            SettingsError: Ray is not installed, does not answer, or cannot share this tree.
        """
        if tree.place.url.startswith("memory://"):
            raise SettingsError(f"{tree.place}: memory of one process; allowed with --on: a folder")
        self._tree, self._ray = tree, _ray()
        self._is_ours = not self._ray.is_initialized()
        self._begin(fleet.on)
        gpus = int(self._ray.cluster_resources().get("GPU", 0))
        cores = int(self._ray.cluster_resources().get("CPU", 1))
        count = fleet.actors or gpus or cores
        needs = {"num_gpus": 1} if gpus else {"num_cpus": max(1, cores // count)}
        how = {**needs, "max_restarts": -1, "max_task_retries": MOST_DEATHS - 1}
        self._remote = self._ray.remote(**how)(RayWorker)
        about = (tree.place.url, mine, fleet, film)
        make = partial(self._remote.remote, *about, folder=str(Path.cwd()))
        self.actors = [make() for _ in range(count)]  # their processes start at the same time
        self.begun(self.actors[0])  # it chooses the runtime that all others take
        for actor in self.actors[1:]:
            actor.begin.remote()  # what hinders it, its first video reports

    def _begin(self, on: str) -> None:
        try:
            if self._is_ours:
                address = None if on == "ray" else on
                local = {} if address else {"include_dashboard": False}
                os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
                # Ray's own default, 15, lets its workers starve beside any other program.
                os.environ.setdefault("RAY_worker_niceness", "0")
                self._ray.init(address=address, log_to_driver=False, logging_level="error", **local)
        except Exception as error:
            message = f"on is {on}, which does not answer: {' '.join(str(error).split())}"
            raise SettingsError(message) from error

    def begun(self, actor: Any) -> None:
        """Wait until an actor has loaded its detector; raise what hinders it."""
        error = self._ray.get(actor.begin.remote())
        if error is not None:
            self._end()
            raise error

    def run(self, left: Sequence[Item], tries: dict[str, int]) -> Iterator[Result]:
        """What became of each video, in the order in which they end."""
        waiting = deque(left)
        at_work: dict[Any, tuple[Any, Item]] = {}
        for actor in self.actors:
            self._give(actor, waiting, tries, at_work)
        while at_work:
            (done, *_), _ = self._ray.wait([*at_work], num_returns=1)
            actor, item = at_work.pop(done)
            result = self._result(done, item, tries[item.name])
            self._give(actor, waiting, tries, at_work)
            yield result

    def _give(
        self,
        actor: Any,
        waiting: "deque[Item]",
        tries: dict[str, int],
        at_work: dict[Any, tuple[Any, Item]],
    ) -> None:
        if waiting:
            item = waiting.popleft()
            at_work[actor.work.remote(item, tries[item.name])] = actor, item

    def _result(self, done: Any, item: Item, tries: int) -> Result:
        try:
            result: Result | VodkitError = self._ray.get(done)
        except self._ray.exceptions.RayActorError as error:
            failure = fatal_failure(item, tries=tries, why=" ".join(str(error).split()))
            self._tree.failures.record(failure)
            return Result(uri=item.uri, name=item.name, state="failed", failure=failure)
        if isinstance(result, VodkitError):
            raise result
        return result

    def _end(self) -> None:
        if self._is_ours:
            self._ray.shutdown()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the actors; of a Ray that ran before, only these."""
        for actor in self.actors:
            self._ray.kill(actor)
        self._end()


def _ray() -> Any:
    with needs("--on ray needs Ray, which is not installed; pip install 'vodkit[ray]'"):
        import ray
    return ray
