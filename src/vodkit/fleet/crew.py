"""All videos that one command has to do: which are left, in which order, and again where needed."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from vodkit.detect.base import Detector
from vodkit.fleet.apart import work_apart
from vodkit.fleet.claims import Claim, Claims
from vodkit.fleet.on_ray import RayCrew
from vodkit.fleet.progress import Progress
from vodkit.fleet.settings import FleetSettings
from vodkit.fleet.shards import Shard
from vodkit.fleet.sources import Item, items_of
from vodkit.fleet.tree import Record, Status, Tree, is_done
from vodkit.fleet.worker import LostClaimError, Result, Worker
from vodkit.infer.batch import Watch
from vodkit.infer.filming import Film
from vodkit.infer.run import Step
from vodkit.infer.stills import require_stills_only, stills_among

_POLL_S = 2.0


class Crew:
    """The work of one command on a tree."""

    def __init__(
        self,
        out: str,
        mine: Record,
        fleet: FleetSettings,
        *,
        film: Film | None = None,
        notify: Callable[[str], None] = lambda _note: None,
    ) -> None:
        """Find the videos and what is left of them; no video is opened.

        Args:
            out: root of the tree, a folder or a URL.
            mine: settings, sources and exports that were asked for.
            fleet: how videos are shared.
            film: what writes videos with boxes.
            notify: called with what the user should know.

        Raises:
            InputError: a source, a setting, a shard or a tree that cannot be used.
        """
        self.tree, self._mine, self._fleet = Tree(out), mine, fleet
        self._film, self._notify = film, notify
        shard = Shard.parse(fleet.shard)
        self.tree.place.make()
        self._claims = Claims(self.tree.place, fleet.expiry_s)
        if fleet.claim:
            self._claims.require()
        if stills := stills_among([one.uri for one in items_of(mine.sources)], mine.settings):
            require_stills_only(stills, stills, ["--shard, --claim, --on"])
        self.items = [item for item in items_of(mine.sources) if shard.holds(item.name)]
        if self.tree.record() is not None:
            self._mine = self.tree.join(mine)
        self.before = self.tree.status(self.items, claims=self._claims)
        self.skipped = [
            failure
            for failure in self.before.failed.values()
            if failure.kind == "permanent" and not fleet.retry_failed
        ]
        self.detector: Detector | None = None

    @property
    def left(self) -> list[Item]:
        """The videos to work on, longest first."""
        skipped = {failure.folder for failure in self.skipped} | self.before.done
        return [item for item in self.items if item.name not in skipped]

    def run(self, watch: Watch = lambda steps, _source: steps) -> Iterator[Result]:
        """Work on all of them; what became of each. Errors that may pass are tried again.

        Args:
            watch: see ``Batch.run``; not called for videos that Ray's actors work on.
        """
        left, progress = self.left, Progress(self.tree, self._notify)
        for result in self._on_ray(left) if self._fleet.on else self._here(left, watch):
            progress.step()
            yield result
        self.tree.failures.write_list()
        if self._fleet.claim:
            self._claims.sweep(lambda: self.status().finished)
        progress.write()

    def status(self) -> Status:
        """What became of the videos of this command."""
        return self.tree.status(self.items, claims=self._claims)

    def _on_ray(self, left: Sequence[Item]) -> Iterator[Result]:
        if not left:
            return
        with RayCrew(self.tree, self._mine, self._fleet, film=self._film) as crew:
            yield from self._patiently(left, crew.run)

    def _here(self, left: Sequence[Item], watch: Watch) -> Iterator[Result]:
        if not left:
            return
        how = {"film": self._film, "notify": self._notify}
        worker = Worker(self.tree, self._mine, self._fleet, **how)  # type: ignore[arg-type]
        self.detector = worker.detector
        yield from self._patiently(left, partial(self._one_by_one, worker, watch))

    def _patiently(
        self,
        left: Sequence[Item],
        run: Callable[[Sequence[Item], dict[str, int]], Iterator[Result]],
    ) -> Iterator[Result]:
        """All of them; those whose error may pass are tried again at the end, after a pause."""
        known = self.before.failed
        tries = {one.name: known[one.name].tries + 1 if one.name in known else 1 for one in left}
        for attempt in range(1, self._fleet.tries + 1):
            again = set()
            for result in run(left, tries):
                passing = result.failure is not None and result.failure.kind == "transient"
                if passing and attempt < self._fleet.tries:
                    again.add(result.name)
                    tries[result.name] += 1
                else:
                    yield result
            left = [item for item in left if item.name in again]
            if not left:
                return
            pause_s = self._fleet.pause_s * 2 ** (attempt - 1)
            self._notify(f"{len(left)} videos failed for now; next try in {pause_s:g} s")
            time.sleep(pause_s)

    def _one_by_one(
        self, worker: Worker, watch: Watch, left: Sequence[Item], tries: dict[str, int]
    ) -> Iterator[Result]:
        if not self._fleet.claim:
            for item in left:
                yield worker.work(item, tries=tries[item.name], watch=watch)
            return
        busy = []  # at work elsewhere, or left by a worker that ended, which may be their fault
        for item in left:
            result = self._claimed(worker, item, tries[item.name], watch, is_new=True)
            if result is None:
                busy.append(item)
            else:
                yield result
        yield from self._taken_over(worker, busy, tries, watch)

    def _claimed(
        self, worker: Worker, item: Item, tries: int, watch: Watch, *, is_new: bool = False
    ) -> Result | None:
        """The result of a video; None: another worker has it, or with ``is_new`` had it."""
        if self._is_done(item):
            return Result(uri=item.uri, name=item.name, state="done")
        with self._claims.take(item.name, is_new=is_new) as claim:
            if claim is None:
                return None
            if self._is_done(item):
                return Result(uri=item.uri, name=item.name, state="done")
            if claim.is_taken_over:
                how = (self.tree.place.url, worker.record, self._fleet, self._film)
                result = work_apart(how, item, tries=tries)
                return worker.given_up(item) if result is None else result

            def guarded(steps: Iterable[Step], source: str) -> Iterator[Step]:
                yield from _while_held(watch(steps, source), claim)

            return worker.work(item, tries=tries, watch=guarded)

    def _is_done(self, item: Item) -> bool:
        done = is_done(item, self.tree.manifest(item.name))
        return done and self.tree.has_exports(item.name, self._mine.exports)

    def _taken_over(
        self, worker: Worker, busy: Sequence[Item], tries: dict[str, int], watch: Watch
    ) -> Iterator[Result]:
        """The videos of workers that died: their claims are watched until they show a sign of life.

        That takes a tenth of the time after which a claim is void; a dead worker's, all of it.
        """
        seen = {item.name: self._claims.beat(item.name) for item in busy}
        left = list(busy)
        while left:
            still = []
            for item in left:
                beat = self._claims.beat(item.name)
                if beat is not None and beat != seen[item.name]:
                    yield Result(uri=item.uri, name=item.name, state="busy")  # its worker lives
                    continue
                result = self._claimed(worker, item, tries[item.name], watch)
                if result is None:
                    still.append(item)
                else:
                    yield result
            left = still
            if left:
                time.sleep(min(_POLL_S, self._fleet.expiry_s / 10))


def _while_held(steps: Iterable[Step], claim: Claim) -> Iterator[Step]:
    for step in steps:
        if claim.is_lost:
            message = "another worker took the video over, since this one was silent for too long"
            raise LostClaimError(message, path=claim.name)
        yield step


def resumed(tree: Tree, fleet: FleetSettings) -> FleetSettings:
    """How the rest of a tree is shared: by claims, where its store has them."""
    shared = not (fleet.on or fleet.shard) and tree.place.creates
    return replace(fleet, claim=fleet.claim or shared)
