"""The one server of review, the live page and the service."""

import logging

from vodkit.serve.web import Server, ServerSettings, bound


def test_the_logging_of_the_process_is_left_alone() -> None:
    """uvicorn's own set-up closes all handlers; absl's then closes the stream it once wrote to."""

    class Noted(logging.NullHandler):
        closed = False

        def close(self) -> None:
            self.closed = True
            super().close()

    handler = Noted()
    with bound(ServerSettings()) as place:
        Server(lambda *_: None, place)
    assert not handler.closed
