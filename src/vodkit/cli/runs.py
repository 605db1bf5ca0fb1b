"""``vodkit runs``: what became of the videos of a tree, and the rest of them."""

from collections.abc import Callable

import typer

from vodkit.cli import options
from vodkit.cli.help import Command, Group
from vodkit.fleet.settings import FleetSettings

_MOST = 20  # failures that are printed
TREE = typer.Argument(..., help="Folder or URL (s3://...) that --out named.")


def list_(tree: str = TREE, *, as_json: bool = options.JSON) -> None:
    """Count done, failed, claimed and missing videos; print what does the rest.

    Example: vodkit runs ls s3://films/runs
    """
    from vodkit.cli import terminal
    from vodkit.fleet.failures import FAILED
    from vodkit.fleet.survey import survey

    found = survey(tree)
    if as_json:
        terminal.say_json(found.to_json())
        return
    counts = ", ".join(f"{count} {name}" for name, count in found.counts.items() if count)
    terminal.say(f"{tree}: {sum(found.counts.values())} videos: {counts or 'none'}")
    terminal.say(f"{found.num_frames} frames are done")
    for failure in found.failures[:_MOST]:
        again = ", tried again by the next command" if failure.kind == "transient" else ""
        terminal.say(f"  {failure.error} ({failure.tries}x on {failure.host}{again})")
    if len(found.failures) > _MOST:
        terminal.say(f"  ... {len(found.failures) - _MOST} more: {tree}/{FAILED}")
    for words in found.commands[:_MOST]:
        terminal.say_next(*words)


@options.with_settings()
def resume(
    tree: str = TREE,
    *,
    fleet: FleetSettings,
    as_json: bool = options.JSON,
) -> None:
    """Do what is left of a tree, with its recorded settings and sources.

    Videos are claimed where the file system allows, so any number of these may run.

    Example: vodkit runs resume s3://films/runs
    """
    from vodkit.cli.fleet import run_fleet
    from vodkit.fleet.crew import resumed
    from vodkit.fleet.survey import recorded
    from vodkit.fleet.tree import Tree
    from vodkit.ground import process

    process.settle()
    found = Tree(tree)
    record = recorded(found)
    run_fleet(record, resumed(found, fleet), out=tree, as_json=as_json)


app = typer.Typer(
    cls=Group,
    help="Runs of many videos: count them, do the rest.",
    epilog="""\b
What is left:   vodkit runs ls s3://films/runs
Do the rest:    vodkit runs resume s3://films/runs""",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS: dict[str, Callable[..., None]] = {"ls": list_, "resume": resume}
for _name, _command in COMMANDS.items():
    app.command(_name, cls=Command)(_command)
