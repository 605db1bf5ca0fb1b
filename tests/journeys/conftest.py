"""Journeys take their commands from the page, and run them on a terminal."""

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from terminal.screens import Seen, Terminals

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "journeys.md"
BLOCK = re.compile(r"<!-- journey: ([\w-]+) -->\n```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(name: str) -> list[str]:
    """The page's command lines of a journey, in order."""
    found = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    return [line for key, block in found if key == name for line in block.splitlines()]


@pytest.fixture(scope="session")
def terminals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminals]:
    with Terminals(tmp_path_factory.mktemp("home")) as made:
        yield made


@pytest.fixture
def go(terminals: Terminals, tmp_path: Path) -> Callable[..., Seen]:
    """Run a line of the page in ``tmp_path``; returns what is on the screen."""

    def run(line: str, code: int = 0) -> Seen:
        words = shlex.split(line)
        assert words[0] == "vodkit"
        seen = terminals.run(*words[1:], folder=tmp_path, patience_s=300)
        assert seen.code == code, seen.text
        assert "Traceback" not in seen.text
        return seen

    return run
