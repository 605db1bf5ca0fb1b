"""Texts of the source name only options that exist: in the command they name, or else in some."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer.main

import vodkit
from vodkit.cli.main import app

SOURCE = Path(vodkit.__file__).parent
OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*\b(?!-)")
ROOT = typer.main.get_command(app)
FOREIGN = frozenset({"--array", "--help", "--nproc-per-node", "--verbose", "--version"})
"""options of sbatch and torchrun, and of every command"""


def all_commands() -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name, command in ROOT.commands.items():
        inner = getattr(command, "commands", {})
        found |= {f"{name} {one}": chosen_command for one, chosen_command in inner.items()}
        if not inner:
            found[name] = command
    return found


def options_of(command: click.Command) -> set[str]:
    """Its options, those that only help hides, too."""
    declared = {one for parameter in command.params for one in parameter.opts}
    declared |= {one for parameter in command.params for one in parameter.secondary_opts}
    return declared | set(getattr(command, "options", {}) or {})


KNOWN = {name: options_of(command) for name, command in all_commands().items()}
ANY = set().union(*KNOWN.values()) | FOREIGN
NAMED = re.compile(
    rf"vodkit ({'|'.join(sorted(map(re.escape, KNOWN), key=len, reverse=True))})\b(.*)"
)


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of every string of a file that is no docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [one.value if isinstance(one, ast.Constant) else "\0" for one in node.values]
            yield node.lineno, "".join(map(str, parts))
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose
        ):
            yield node.lineno, node.value


def wrong(text: str) -> list[str]:
    """The options that a text names and nothing has."""
    found = [one for one in OPTION.findall(text) if one not in ANY]
    for line in text.splitlines():
        for name, rest in NAMED.findall(line):
            words = re.split(r"[;,)]| or | and ", rest)[0]
            found += [
                f"{name} {one}" for one in OPTION.findall(words) if one not in KNOWN[name] | FOREIGN
            ]
    return found


@pytest.mark.parametrize("floor", sorted(one.name for one in SOURCE.iterdir() if one.is_dir()))
def test_texts_name_only_options_that_exist(floor: str) -> None:
    seen = [
        f"{path.relative_to(SOURCE)}:{line}: {one}"
        for path in sorted((SOURCE / floor).rglob("*.py"))
        for line, text in texts(path)
        for one in wrong(text)
    ]
    assert not seen, "\n".join(seen)


def test_a_wrong_option_is_found() -> None:
    assert wrong("raise it with --no-such-option") == ["--no-such-option"]
    assert wrong("use vodkit data audit X --tracker sort") == ["data audit --tracker"]
    assert not wrong("use vodkit track X --tracker sort")
