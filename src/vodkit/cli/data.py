"""``vodkit data``: raw video labelled; labelled video brought in, checked, divided, shown."""

from collections.abc import Callable

import typer

from vodkit.cli.data_audit import audit
from vodkit.cli.data_export import export
from vodkit.cli.data_import import import_
from vodkit.cli.data_prelabel import prelabel
from vodkit.cli.data_preview import preview
from vodkit.cli.data_sample import sample
from vodkit.cli.data_split import split
from vodkit.cli.data_stats import stats
from vodkit.cli.help import Command, Group

app = typer.Typer(
    cls=Group,
    help="Labelled video: bring it in, check, divide, count, show, hand on.",
    epilog="""\b
Start with:  vodkit data import labels.xml --videos clips/ -o dataset.json
No labels:   vodkit data sample clips/a.mp4 -o to_label/ --classes cup
By a model:  vodkit data prelabel clips/a.mp4 -o labels/
In Python:   vodkit.data.loader gives frames and clips, also by PyTorchVideo's samplers""",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# The commands, in the order of a project's life.
COMMANDS: dict[str, Callable[..., None]] = {
    "sample": sample,
    "prelabel": prelabel,
    "import": import_,
    "audit": audit,
    "split": split,
    "stats": stats,
    "preview": preview,
    "export": export,
}
for _name, _command in COMMANDS.items():
    app.command(_name, cls=Command)(_command)
