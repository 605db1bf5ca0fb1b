"""The documents say what is there: commands parse, Python runs up to its data, links lead on."""

import ast
import importlib
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import typer
import typer.main

from vodkit.cli.main import app
from vodkit.ground.settings import load
from vodkit.track.table import TRACKERS
from vodkit.train.settings import TrainSettings

CHECKOUT = Path(__file__).parent.parent
DOCUMENTS = [
    CHECKOUT / "README.md",
    *sorted((CHECKOUT / "docs").rglob("*.md")),
    *sorted((CHECKOUT / "examples").rglob("*.md")),
    CHECKOUT / "CONTRIBUTING.md",
]
sys.path.insert(0, str(CHECKOUT / "docs"))
PLACEHOLDERS = re.compile(r"\.\.\.|COMMAND|[A-Z]{3,}|<\w+>")
ROOT = typer.main.get_command(app)


FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[tuple[str, str]]:
    """(where, text) of every fenced block of a language; shell blocks have none or ``sh``."""
    wanted = {"sh": {"sh", "bash", "console", ""}, "python": {"python"}}[language]
    return [
        (_where(path, text, found.start()), textwrap.dedent(found[2]))
        for path in DOCUMENTS
        for text in [path.read_text(encoding="utf-8")]
        for found in FENCE.finditer(text)
        if found[1] in wanted
    ]


def _where(path: Path, text: str, place: int) -> str:
    return f"{path.relative_to(CHECKOUT)}:{text.count(chr(10), 0, place) + 1}"


def named_in_prose() -> list[tuple[str, str]]:
    """(where, ``vodkit ...``) of every command that a sentence names."""
    found = []
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        prose = FENCE.sub(lambda block: "\n" * block[0].count("\n"), text)
        found += [
            (_where(path, prose, span.start()), " ".join(span[1].split()))
            for span in re.finditer(r"`(vodkit [^`]+)`", prose)
        ]
    return found


def command_lines() -> list[tuple[str, str]]:
    """Every ``vodkit ...`` line in a shell block, its continuation lines joined."""
    lines = []
    for where, text in blocks("sh"):
        joined = re.sub(r"\\\n\s*", " ", text)
        for line in joined.splitlines():
            words = line.strip().removeprefix("$ ").removeprefix(".venv/bin/")
            if words.startswith("vodkit "):
                lines.append((where, words.split("  #")[0].split(" # ")[0].strip()))
    return lines


def examples(command: object, name: str) -> list[tuple[str, str]]:
    """The example in the help of every command."""
    inner = getattr(command, "commands", {})
    found = [pair for key, value in inner.items() for pair in examples(value, f"{name} {key}")]
    text = " ".join((command.help or "").split())
    lines = re.findall(r"Example: (vodkit .*)", text)
    assert inner or lines, f"{name} --help has no example"
    return found + [(f"{name} --help", line) for line in lines]


COMMANDS = [
    (where, line)
    for where, line in command_lines() + examples(ROOT, "vodkit")
    if not PLACEHOLDERS.search(line)  # a pattern, not a command
]
PYTHON = blocks("python")
PROSE = named_in_prose()


def test_the_tables_are_those_of_the_newest_results() -> None:
    script = CHECKOUT / "benchmarks" / "results_table.py"
    subprocess.run([sys.executable, str(script), "--check"], check=True)


def test_every_guide_has_a_picture_and_a_command_makes_it() -> None:
    scripts = "".join(p.read_text(encoding="utf-8") for p in (CHECKOUT / "docs").glob("make_*.py"))
    bare = []
    for guide in sorted((CHECKOUT / "docs" / "guides").glob("*.md")):
        shown = re.findall(r"!\[[^\]]+\]\(\.\./img/([\w-]+)\.", guide.read_text(encoding="utf-8"))
        made = [name for name in shown if re.search(rf"[\"/]{name}[\".]", scripts)]
        bare += [] if made and made == shown else [guide.name]
    assert not bare, f"no picture, or none that a command in docs/ makes: {bare}"


def test_there_are_documents_to_check() -> None:
    assert len(COMMANDS) > 20
    assert len(PYTHON) > 3


@pytest.mark.parametrize(("where", "line"), COMMANDS, ids=lambda value: str(value)[:60])
def test_commands_are_ones_that_the_door_takes(where: str, line: str) -> None:
    name, words, command = "vodkit", shlex.split(line)[1:], ROOT
    while hasattr(command, "commands") and words:
        name, *words = words
        assert name in command.commands, f"{where}: {line}"
        command = command.commands[name]
    with command.make_context(name, list(words)) as context:
        chosen = dict(context.params)
    settings = [word for word in chosen.get("words") or [] if "=" in word]
    if name == "train":
        load(TrainSettings, words=["data=a", "out=b", *settings])
    if name == "track" and settings:
        load(TRACKERS[chosen["tracker"]][1], words=settings)


@pytest.mark.parametrize(("where", "line"), PROSE, ids=[where for where, _ in PROSE])
def test_commands_in_sentences_have_these_names_and_options(where: str, line: str) -> None:
    words = re.sub(r"[{,].*", "", line.replace("vodkit -v ", "vodkit ")).split()[1:]
    command = ROOT
    while hasattr(command, "commands") and words and not PLACEHOLDERS.search(words[0]):
        name, *words = words
        assert name in command.commands, f"{where}: {line}"
        command = command.commands[name]
    there = {option for one in command.params for option in one.opts} | {"--help"}
    used = {word.split("=")[0] for word in words if word.startswith("-") and len(word) > 1}
    assert used <= there, f"{where}: {line}"


@pytest.mark.parametrize(("where", "text"), PYTHON, ids=[where for where, _ in PYTHON])
def test_python_names_what_exists(where: str, text: str) -> None:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vodkit"):
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name), f"{where}: {node.module}.{alias.name}"
        elif isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "vodkit":
            assert hasattr(importlib.import_module("vodkit"), node.attr), f"{where}: {node.attr}"


def _generated() -> dict[str, str]:
    """The pages that the site generates from the code (docs/pages.py)."""
    return importlib.import_module("pages").generated()


def _in_docs(path: Path) -> str:
    return path.relative_to(CHECKOUT / "docs").as_posix()


def _is_generated(path: Path) -> bool:
    return path.is_relative_to(CHECKOUT / "docs") and _in_docs(path) in _generated()


def test_patterns_in_the_help_are_letters_on_its_page() -> None:
    """``**/*`` would be bold text in Markdown."""
    assert r"s3://bucket/\*\*/\*.mp4" in _generated()["reference/cli/track.md"]


def test_pages_that_the_code_names_exist() -> None:
    for path in (CHECKOUT / "src").rglob("*.py"):
        for target in re.findall(r"docs/[\w/-]+\.md", path.read_text(encoding="utf-8")):
            assert (CHECKOUT / target).exists(), f"{path.name}: {target}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_named_files_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target:
            place = (path.parent / target).resolve()
            assert place.exists() or _is_generated(place), target
    named = re.findall(r"`((?:src|tests|benchmarks|docs|examples)/[\w./-]+\.\w+)`", text)
    for target in named:
        assert (CHECKOUT / target).exists(), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_into_a_page_meet_a_heading(path: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", path.read_text("utf-8")):
        if "://" not in target:
            page = (path.parent / target).resolve() if target else path
            text = page.read_text("utf-8") if page.exists() else _generated()[_in_docs(page)]
            headings = re.findall(r"^#+ (.*)", text, re.MULTILINE)
            bare = [
                re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings
            ]
            assert anchor in bare, f"{target}#{anchor}"


@pytest.mark.parametrize(
    "path", sorted((CHECKOUT / "benchmarks").glob("*.py")), ids=lambda path: path.stem
)
def test_benchmarks_import_what_exists(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vodkit"):
            module = importlib.import_module(node.module)
            for alias in node.names:
                there = hasattr(module, alias.name)
                assert there or importlib.import_module(f"{node.module}.{alias.name}")


@pytest.mark.parametrize("name", ["first_video", "own_class"])
def test_notebooks_are_those_of_the_pages(name: str) -> None:
    made = importlib.import_module("notebooks").notebook(name)
    path = CHECKOUT / "examples" / "notebooks" / f"{name}.ipynb"
    assert path.read_text(encoding="utf-8") == made, "run: python docs/notebooks.py"


def test_every_page_is_in_the_navigation() -> None:
    text = (CHECKOUT / "mkdocs.yml").read_text(encoding="utf-8")
    others = {_in_docs(path) for path in (CHECKOUT / "docs").rglob("*.md") if path.name not in text}
    assert all(name.startswith(("guides/", "benchmarks/")) for name in others), others


def test_pictures_are_small() -> None:
    for path in (CHECKOUT / "docs" / "img").iterdir():
        most = {"plaza.webp": 1_000_000, "review.webp": 1_000_000, "review-learns.webp": 1_500_000}
        assert path.stat().st_size < most.get(path.name, 200_000), path.name
