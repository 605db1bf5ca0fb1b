"""Serving the live page beside a run that is at work."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from vodkit.serve.board import Board
from vodkit.serve.live_app import PRIVATE, make_live_app
from vodkit.serve.outlets import Outlets
from vodkit.serve.settings import TOKEN_VARIABLE, OutletSettings
from vodkit.serve.web import Server, ServerSettings, bound, in_background, is_loopback


@contextmanager
def serving_live(
    wanted: OutletSettings, folders: Mapping[str, Path], outlets: Outlets
) -> Iterator[tuple[str, Board]]:
    """Within, the page is served from a thread; its address, and the board to be filled.

    Args:
        wanted: where.
        folders: run folder of each source.
        outlets: receivers of events, for the metrics.

    Raises:
        SettingsError: others can reach the host, and there is no token.
        OutputError: the port is taken.
    """
    host, port = wanted.place
    token = os.environ.get(TOKEN_VARIABLE, "")
    board = Board(folders, outlets.classes, lambda: outlets.couriers)
    with bound(ServerSettings(host=host, port=port, token=token)) as place:
        private = PRIVATE if is_loopback(host) else (*PRIVATE, "/metrics")
        app = make_live_app(board, place.guard(any_name=True, private=private))
        with in_background(Server(app, place)):
            shown = place.address.partition("#")[0] if token else place.address
            yield shown, board
