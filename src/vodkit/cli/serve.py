"""``vodkit serve``: detection and tracking over HTTP."""

import os

import typer

from vodkit.cli import options
from vodkit.cli.terminal import say
from vodkit.infer.settings import InferSettings
from vodkit.serve.settings import TOKEN_VARIABLE, ServiceSettings


@options.with_settings(
    without=(
        "every", "temporal", "lenient", "picture_rate", "pictures",
        "after", "lines", "zones",
        "events",
    )
)  # fmt: skip
def serve(
    wanted: InferSettings,
    host: str = typer.Option("127.0.0.1", "--host", help="Other than this machine: with a token."),
    port: int = typer.Option(8787, "--port", help="0: any free one."),
    *,
    limits: ServiceSettings,
) -> None:
    """Detect and track over HTTP: POST /v1/detect, /v1/sessions. Ctrl-C ends.

    Clients send Authorization: Bearer TOKEN; the token is VODKIT_TOKEN, or a random one.

    Example: vodkit serve --model vodkit-street --port 8787
    """
    from vodkit.cli.live import sigterm_stops
    from vodkit.cli.summary import say_runtime
    from vodkit.ground import process
    from vodkit.ground.errors import SettingsError, needs
    from vodkit.infer.flow import make_detector
    from vodkit.infer.follow import make_follower

    with needs("{name} is not installed; pip install 'vodkit[serve]'"):
        from vodkit.serve.service import make_service
        from vodkit.serve.sessions import Sessions
        from vodkit.serve.web import Server, ServerSettings, bound, ctrl_c_stops, is_loopback
    process.settle()
    if not wanted.tracks:
        raise SettingsError("tracker is none; sessions need one")
    make_follower(wanted)
    token = os.environ.get(TOKEN_VARIABLE, "")
    with bound(ServerSettings(host=host, port=port, token=token)) as place:
        service = Sessions(make_detector(wanted), wanted, limits)
        say_runtime(service.detector, wanted)
        if not is_loopback(host):
            say(f"warning: {host} can be reached by others; traffic is not encrypted")
        server = Server(make_service(service, place), place)
        with sigterm_stops(), ctrl_c_stops(server):  # before the address that says it is ready
            say(f"serving: {place.address.partition('#')[0]}")
            if not token:
                say(f"token: {place.token}")
            server.run()
        service.close()
