"""``vodkit``: puts the commands together; turns every error into one line and an exit code.

Exit codes: 0 fine, 1 our fault, 2 the user's input, 3 partial result, 130 stopped by Ctrl-C.
"""

import sys
import time
import traceback
from collections.abc import Callable

import typer

from vodkit.cli.bench import bench
from vodkit.cli.compare import compare
from vodkit.cli.count import count
from vodkit.cli.data import app as data
from vodkit.cli.demo import demo
from vodkit.cli.detect import detect
from vodkit.cli.doctor import doctor
from vodkit.cli.eval import evaluate
from vodkit.cli.events import events
from vodkit.cli.export import export
from vodkit.cli.help import Command, InOrder
from vodkit.cli.models import models
from vodkit.cli.own_options import Chosen, chosen, only_own
from vodkit.cli.refine import refine
from vodkit.cli.review import review
from vodkit.cli.runs import app as runs
from vodkit.cli.serve import serve
from vodkit.cli.set_help import asks_for_settings, say_settings
from vodkit.cli.show import show
from vodkit.cli.standard_streams import ReaderGoneError, prepare_streams
from vodkit.cli.terminal import say, say_next
from vodkit.cli.track import track
from vodkit.cli.train import train
from vodkit.cli.tune import tune
from vodkit.ground import process
from vodkit.ground.errors import ToldElsewhereError, VodkitError, refusal_of, shortage_of
from vodkit.ground.paths import expanded
from vodkit.ground.process import is_first_here
from vodkit.ground.text import redacted

_TELLING_S = 60.0  # in which another process has surely printed what it has to
STOPPED = 130  # 128 + SIGINT, as in shells
EPILOG = """\b
Start with:        vodkit demo
Your video:        vodkit track my_video.mp4 --video
Your own classes:  vodkit data import, audit, split; then train, track, eval"""


app = typer.Typer(
    cls=InOrder,
    help="Labelled video in, a detector and tracker that you can trust out.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# The commands, in the order of a project's life.
COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo,
    "models": models,
    "train": train,
    "detect": detect,
    "track": track,
    "refine": refine,
    "review": review,
    "show": show,
    "count": count,
    "events": events,
    "tune": tune,
    "eval": evaluate,
    "compare": compare,
    "doctor": doctor,
    "export": export,
    "serve": serve,
    "bench": bench,
}
app.add_typer(data, name="data")
app.add_typer(runs, name="runs")
for _name, _command in COMMANDS.items():
    app.command(_name, cls=Command)(_command)


@app.callback(invoke_without_command=True)
def _options(
    version: bool = typer.Option(False, "--version", help="Print the version and stop."),
) -> None:
    if version:
        from importlib.metadata import version as installed

        print(f"vodkit {installed('vodkit')}")
        raise typer.Exit


def main(arguments: list[str] | None = None) -> None:
    """Run one command and leave with its exit code."""
    words = expanded(sys.argv[1:]) if arguments is None else arguments
    verbose = "-v" in words or "--verbose" in words
    words = [word for word in words if word not in {"-v", "--verbose"}]
    process.let_waiting_threads_sleep()
    parser = typer.main.get_command(app)
    command = chosen(parser, words)
    try:
        prepare_streams()
        if asks_for_settings(words):
            say_settings(command)
            code = 0
        else:
            code = parser(args=words, prog_name="vodkit", standalone_mode=False)
        if code == STOPPED:  # the parser has swallowed the Ctrl-C
            _stopped(command)
    except ToldElsewhereError as error:
        code = _leave_last(error.exit_code)
    except VodkitError as error:
        code = _complain(only_own(str(error), command), error.exit_code, verbose=verbose)
    except (KeyboardInterrupt, typer.Abort):
        code = _stopped(command)
    except ReaderGoneError:
        code = 0
    except Exception as error:  # noqa: BLE001
        code = _unforeseen(error, verbose=verbose)
    sys.exit(code if isinstance(code, int) else 0)


def _stopped(command: Chosen) -> int:
    """After Ctrl-C: what to do next, where the command can resume."""
    if sys.stderr.isatty():
        say("", error=True)  # the terminal has printed ^C
    if "--resume" not in command.options:
        return _complain("stopped", STOPPED, verbose=False)
    _complain("stopped; finished work is kept", STOPPED, verbose=False)
    given = [redacted(word) for word in command.words if word not in {"--overwrite", "--resume"}]
    say_next("vodkit", *given, "--resume", before="resume with: ", error=True)
    return STOPPED


def _unforeseen(error: Exception, *, verbose: bool) -> int:
    """A wrong command line (the parser's own exceptions), or a bug of ours."""
    if type(error).__name__ == "NoArgsIsHelpError":  # a group without a command: its help
        print(error, file=sys.stderr)
        return 2
    known = shortage_of(error) or refusal_of(error)
    if known is not None:
        return _complain(str(known), known.exit_code, verbose=verbose)
    if hasattr(error, "format_message"):
        if not is_first_here():
            return _leave_last(2)
        text = " ".join(error.format_message().split())
        where = getattr(getattr(error, "ctx", None), "command_path", "vodkit")
        return _complain(f"{text} (see {where} --help)", 2, verbose=False)
    what = f"unforeseen {type(error).__name__}: {error}"
    hint = "" if verbose else " (a bug of vodkit; run again with -v for the traceback)"
    return _complain(what + hint, 1, verbose=verbose)


def _leave_last(code: int) -> int:
    """Wait for another process's message: ``torchrun`` ends all as soon as one has ended."""
    time.sleep(_TELLING_S)
    return code


def _complain(message: str, code: int, *, verbose: bool) -> int:
    if verbose:
        traceback.print_exc()
    say(f"vodkit: {' '.join(map(str.strip, message.splitlines()))}", error=True)
    return code
