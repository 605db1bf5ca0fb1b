"""Every command on a terminal: narrow and wide, plain and coloured, right, wrong, and stopped."""

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from terminal.conftest import World
from terminal.scenes import FAST, SCENES
from terminal.screens import THEMES, Seen, Terminals, bars_in
from vodkit.cli.main import app
from vodkit.cli.own_options import chosen
from vodkit.cli.set_help import _CLASSES, explained, settings_of
from vodkit.formats.table import read_dataset

SLOW = pytest.mark.slow
WIDTHS = (pytest.param(20, marks=SLOW), 80, pytest.param(200, marks=SLOW))


def matrix(names: Iterable[str]) -> list[Any]:
    """Every name at every width; fast are all at 80 columns, and ``data stats`` and ``track``."""
    return [
        pytest.param(name, columns, marks=() if columns == 80 or name in ALWAYS else SLOW)
        for name in names
        for columns in (20, 80, 200)
    ]


COLOUR = re.compile(rb"\x1b\[[\d;]*\b(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])[\d;]*m")
SHORT = [name for name, scene in SCENES.items() if not scene.is_long]
ALWAYS = ("data stats", "track")
LONG = [
    ("track", 20),
    *(
        pytest.param(*one, marks=SLOW)
        for one in (
            ("track", 200), ("bench", 20), ("bench", 80), ("export", 20), ("export", 80),
            ("data prelabel", 80), ("detect", 200), ("train", 200),
        )
    ),
]  # fmt: skip
ENVIRONMENTS: dict[str, dict[str, str]] = {
    "no colour": {"NO_COLOR": "1"},
    "dumb": {"TERM": "dumb"},
    "ascii": {},
}
HOSTILE = "a[b] \x1b[31mred\x1b[0m\tx"
SHOWN = r"a[b] \x1b[31mred\x1b[0m\tx"


def commands() -> Iterator[str]:
    root = typer.main.get_command(app)
    for name, command in root.commands.items():
        inner = getattr(command, "commands", {})
        yield from (f"{name} {one}" for one in inner)
        if not inner:
            yield name


COMMANDS = sorted(commands())
STOPPED = [n for n, scene in SCENES.items() if scene.stop_when and not scene.ends_by_ctrl_c]


@pytest.fixture
def place(world: World, tmp_path: Path) -> Path:
    """A folder of its own with the world's files."""
    return shutil.copytree(world.folder, tmp_path / "place")


def check(seen: Seen, code: int = 0) -> None:
    """What holds for whatever is printed."""
    assert seen.code == code, seen.text
    assert "Traceback" not in seen.text
    assert "a bug of vodkit" not in seen.flat
    assert not seen.words_broken(), seen.text
    for theme in THEMES:
        assert not seen.hard_to_read(theme)


def check_bars(seen: Seen) -> None:
    """Done, total, rate and time left were seen."""
    states = bars_in(seen.history)
    assert states, seen.text
    assert any(rate != "?" and left != "?" for _, _, rate, left in states)


def said(seen: Seen) -> set[str]:
    """Its words, without numbers and marks."""
    return set(re.findall(r"[^\W\d]{3,}", seen.text))


def test_every_command_is_tried() -> None:
    """Whoever adds a command adds what it is tried with to scenes.py."""
    assert sorted(SCENES) == COMMANDS


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["", "data", *(pytest.param(name, marks=() if name in ALWAYS else SLOW) for name in COMMANDS)],
)
def test_help_has_all_words_at_every_width(name: str, terminals: Terminals, tmp_path: Path) -> None:
    narrow, wide = (
        terminals.run(*name.split(), "--help", folder=tmp_path, columns=columns)
        for columns in (20, 200)
    )
    check(narrow)
    check(wide)
    assert said(narrow) == said(wide)
    assert max(map(len, wide.lines)) <= 80


@pytest.mark.parametrize(("name", "columns"), matrix(SHORT))
def test_short_commands(
    name: str, columns: int, terminals: Terminals, place: Path, world: World
) -> None:
    scene = SCENES[name]
    stop = re.compile(scene.stop_when).search if scene.ends_by_ctrl_c else None
    words = (*name.split(), *scene.right)
    where = world.folder if name.startswith("runs ") else place  # a tree stays where it was made
    seen = terminals.run(*words, folder=where, columns=columns, stop_when=stop)
    check(seen)
    if columns == 80:
        for part in scene.shows:
            assert part in seen.flat


@pytest.mark.parametrize(("name", "columns"), matrix(COMMANDS))
def test_bad_input_is_one_message(
    name: str, columns: int, terminals: Terminals, place: Path
) -> None:
    scene = SCENES[name]
    seen = terminals.run(*name.split(), *scene.wrong, folder=place, columns=columns)
    check(seen, 2)
    assert seen.flat.startswith("vodkit: ")
    for part in scene.message:
        assert part in seen.flat
    if columns == 200:
        assert len(seen.lines) == 1


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize(
    "name", ["models", "data stats", "data import", "track", "compare", "--help", "bad"]
)
def test_environments(name: str, environment: str, terminals: Terminals, place: Path) -> None:
    words = {"--help": ["track", "--help"], "bad": ["track", "caf\xe9.mp4"]}.get(name, [])
    words = words or [*name.split(), *SCENES[name].right]
    seen = terminals.run(
        *words,
        folder=place,
        encoding="ascii" if environment == "ascii" else "utf-8",
        environment=ENVIRONMENTS[environment],
    )
    check(seen, 2 if name == "bad" else 0)
    if environment == "no colour":
        assert not COLOUR.search(seen.raw)
    if environment == "dumb":
        assert b"\x1b" not in seen.raw
    if environment == "ascii":
        assert seen.raw.isascii()
    if name == "track":
        assert bars_in(seen.history)


@pytest.mark.parametrize(("name", "columns"), LONG)
def test_long_commands(name: str, columns: int, terminals: Terminals, place: Path) -> None:
    scene = SCENES[name]
    seen = terminals.run(*name.split(), *scene.right, folder=place, columns=columns)
    check(seen)
    for part in scene.shows if columns > 20 else ():
        assert part in seen.flat
    if name not in {"bench", "export"}:
        check_bars(seen)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "track" else SLOW) for name in STOPPED]
)
def test_ctrl_c_and_resume(name: str, terminals: Terminals, place: Path) -> None:
    scene = SCENES[name]
    words = [*name.split(), *scene.right]
    stopped = terminals.run(
        *words, folder=place, stop_when=lambda text: re.search(scene.stop_when, text)
    )
    check(stopped, 130)
    last = next(line for line in stopped.lines if line.startswith("vodkit: stopped"))
    if name in {"demo", "tune"}:
        assert last == "vodkit: stopped"
        return
    hint = stopped.flat.partition("resume with: ")[2].replace(" \\ ", " ")
    assert hint == " ".join(["vodkit", *words, "--resume"])
    again = terminals.run(*hint.split()[1:], folder=place)
    check(again)
    assert bars_in(stopped.history)
    check_bars(again)
    for part in scene.shows:
        assert part in again.flat


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("compare", "evaluated/metrics.json"),
        ("refine", "tracked/test/predictions.jsonl"),
        ("count", "tracked/test/predictions.jsonl"),
        ("tune", "detected/test/predictions.jsonl"),
    ],
)
def test_ctrl_c_in_short_commands(name: str, file: str, terminals: Terminals, place: Path) -> None:
    """They are over too soon for a hand: here they wait for a file that is a pipe."""
    (place / file).unlink()
    os.mkfifo(place / file)
    before = sorted(place.rglob("*"))
    words = (*name.split(), *SCENES[name].right)
    seen = terminals.run(*words, folder=place, stop_reading=place / file)
    check(seen, 130)
    assert seen.lines[-1] == "vodkit: stopped"
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize("columns", WIDTHS)
def test_names_are_printed_literally(columns: int, terminals: Terminals, place: Path) -> None:
    """Of files and of classes: no markup, and no sequence that the terminal would obey."""
    clip = (place / "test.mp4").rename(place / f"{HOSTILE}.mp4")
    dataset = read_dataset(place / "labels.json")
    named = Path(str(place / "labels.json"))
    content = named.read_text().replace('"person"', json.dumps(HOSTILE))
    named.write_text(content.replace('"test.mp4"', json.dumps(clip.name)))
    assert HOSTILE not in dataset.classes
    tracked = [(["track", clip.name, "-o", "runs", *FAST], 0)] if columns == 80 else []
    for words, code in (
        *tracked,
        (["track", f"{HOSTILE}.avi", "-o", "none", *FAST], 2),
        (["data", "stats", "labels.json"], 0),
        (["data", "audit", "labels.json", "--labels-only"], 0),
        (["data", "import", "labels.json", "-o", f"{HOSTILE}.json"], 0),
        (["eval", "labels.json", "tracked/test", "--split", "test", "--class-map", HOSTILE], 2),
        (["models", HOSTILE], 2),
    ):
        seen = terminals.run(*words, folder=place, columns=columns)
        check(seen, code)
        assert b"\x1b[31m" not in seen.raw
        if words[1] != "audit":
            # A tab is a blank, or escaped by the parser of the command line: versions differ.
            text = "".join(seen.text.split()).replace(r"\x09", "").replace(r"\t", "")
            assert SHOWN.replace(" ", "").replace(r"\t", "") in text


SET = [name for name in COMMANDS if name in _CLASSES]


@pytest.mark.parametrize(("name", "columns"), matrix(SET))
def test_set_help_works_alone(
    name: str, columns: int, terminals: Terminals, tmp_path: Path
) -> None:
    seen = terminals.run(*name.split(), "--set", "help", folder=tmp_path, columns=columns)
    check(seen)
    command = chosen(typer.main.get_command(app), name.split())
    settings = [one for cls in settings_of(command) for one in explained(cls)]
    assert settings
    for one in settings:
        assert one.name in seen.text
        assert one.default in seen.flat
        assert set(one.meaning.split()) <= set(seen.flat.split())
        assert set(one.allowed.split()) <= set(seen.flat.split())


def test_every_command_with_settings_explains_them() -> None:
    root = typer.main.get_command(app)
    having = [name for name in COMMANDS if "--set" in chosen(root, name.split()).options]
    assert sorted(_CLASSES) == having
