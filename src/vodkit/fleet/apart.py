"""A video in a process of its own, which it may end without ending the worker.

A worker that was killed with a video may have been killed by it. So who takes such a video over
stays alive: the video is worked on in a child, and if that dies, the fault is the video's.
"""

import multiprocessing
import os
import threading
from multiprocessing.connection import Connection

from vodkit.fleet.failures import MOST_DEATHS
from vodkit.fleet.settings import FleetSettings
from vodkit.fleet.sources import Item
from vodkit.fleet.tree import Record, Tree
from vodkit.fleet.worker import Result, Worker
from vodkit.ground import process
from vodkit.ground.errors import VodkitError
from vodkit.infer.filming import Film

How = tuple[str, Record, FleetSettings, Film | None]
"""URL of the tree, and what else makes a worker"""


def work_apart(how: How, item: Item, *, tries: int) -> Result | None:
    """What became of a video; None: it ended its process each time.

    Args:
        how: what makes the worker.
        item: the video, with which one worker has ended already.
        tries: how often it was tried, this time included.

    Raises:
        VodkitError: nothing that is the video's fault.
    """
    for _ in range(MOST_DEATHS - 1):
        found = _in_a_child(how, item, tries)
        if isinstance(found, VodkitError):
            raise found
        if found is not None:
            return found
    return None


def _in_a_child(how: How, item: Item, tries: int) -> Result | VodkitError | None:
    """None: it died."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    words = (theirs, how, item, tries, process.threads_asked())
    child = context.Process(target=_work, args=words)
    child.start()
    theirs.close()
    try:
        found: Result | VodkitError = ours.recv()
    except EOFError:
        return None
    finally:
        child.kill()
        child.join()
        ours.close()
    return found


def _work(answer: Connection, how: How, item: Item, tries: int, threads: int | None) -> None:
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    if threads:
        process.use_threads(threads)
    process.settle()
    url, mine, fleet, film = how
    try:
        found: Result | VodkitError = Worker(Tree(url), mine, fleet, film=film).work(
            item, tries=tries
        )
    except VodkitError as error:
        found = error
    answer.send(found)


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
