"""``vodkit review``: label, correct and learn in the browser."""

from pathlib import Path

import typer

from vodkit.cli import options
from vodkit.cli.terminal import say


def review(
    videos: list[Path] = typer.Argument(None, help="Video files or folders of pictures."),
    labels: Path | None = typer.Option(
        None, "--labels", "--data", "-d", help="Label file, folder or dataset to begin with."
    ),
    run: Path | None = typer.Option(None, "--run", help="Run folder whose tracks to correct."),
    model: str = typer.Option(
        "vodkit-street", "--model", "-m", help="Helps in the background; none: no model."
    ),
    follow: Path | None = typer.Option(
        None, "--follow", help="Folder of SAM 2 video weights that follow. Default: the model."
    ),
    classes: str = typer.Option("", "--classes", help="Names, as car,bus; more can be added."),
    out: Path = typer.Option(
        Path("review.json"),
        "--out",
        "-o",
        help="Dataset to write; the journal is in the same folder.",
    ),
    format: str = typer.Option("auto", "--format", "-f", help="Format of --labels."),  # noqa: A002
    strict: bool = options.STRICT,  # noqa: ARG001 - its callback sets it
    at: str = typer.Option("", "--at", help="Frame to open, as 120 or a.mp4:120."),
    findings: Path | None = typer.Option(
        None, "--findings", help="Output of data audit --json: the first items of the queue."
    ),
    prelabel: bool | None = typer.Option(
        None, "--prelabel/--no-prelabel", help="Label videos without labels first. Default: yes."
    ),
    host: str = typer.Option("127.0.0.1", "--host", help="Other than this machine: with --token."),
    port: int = typer.Option(0, "--port", help="0: any free one."),
    token: str = typer.Option("", "--token", help="Default: a random one."),
    browser: bool = typer.Option(True, "--browser/--no-browser", help="Open the page."),
) -> None:
    """Label and correct video in the browser. Every action is saved at once; Ctrl-C ends.

    Example: vodkit review clips/a.mp4 --classes fly -o flies.json
    """
    from vodkit.cli.options import names_of
    from vodkit.ground import process
    from vodkit.ground.errors import needs
    from vodkit.ground.ledger import require_ours
    from vodkit.review.jobs import ModelSettings
    from vodkit.review.project import ProjectSettings, journal_of

    with needs("{name} is not installed; pip install 'vodkit[review]'"):
        from vodkit.review.server import serving
        from vodkit.serve.web import ServerSettings, is_loopback

    process.settle()
    require_ours(out)
    project = ProjectSettings(
        videos=tuple(videos or ()),
        labels=labels,
        format=format,
        run=run,
        classes=names_of(classes),
        out=out,
        findings=findings,
    )
    helper = ModelSettings(
        model="" if model == "none" else model,
        follow="" if follow is None else str(follow.absolute()),
    )
    where = ServerSettings(host=host, port=port, token=token)
    announced = []

    def announce(place: str) -> None:
        announced.append(place)
        say(f"open: {place}")
        if browser:
            typer.launch(place)

    with serving(project, helper, where, early=None if at else announce) as (address, page):
        for note in page.project.notes:
            say(note)
        if not is_loopback(host):
            say(f"warning: {host} can be reached by others; traffic is not encrypted")
        say(f"journal: {journal_of(out)} ({page.project.journal.n} entries)")
        place = f"{address}{page.project.place_of(at)}"
        if prelabel is not False and helper.model:
            page.jobs.prelabel_unlabelled()
        if not announced:
            announce(place)
        page.run()
    say(f"labels: {out}" if out.exists() else "nothing was labelled; no file was written")
