"""What the site generates from the code: commands, settings, API, schemas; and ``llms.txt``.

``mkdocs.yml`` loads this file as a hook. Nothing that it makes is written by hand or committed.
``generated()`` names every page and file, so that tests know where links may lead.
"""

import inspect
import json
import re
import shutil
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import typer.main
from mkdocs.plugins import event_priority

import vodkit
from vodkit.cli.help import TABLES, names_in
from vodkit.cli.main import app
from vodkit.cli.set_help import explained
from vodkit.demo import DemoSettings
from vodkit.infer.event_settings import EventSettings
from vodkit.infer.settings import InferSettings
from vodkit.metrics.evaluation import EvalSettings
from vodkit.track.count import CountSettings
from vodkit.track.refine import RefineSettings
from vodkit.track.table import TRACKERS
from vodkit.train.appearance_data import AppearanceSettings
from vodkit.train.settings import TrainSettings

DOCS = Path(__file__).parent
CHECKOUT = DOCS.parent
for _folder in (DOCS, CHECKOUT / "benchmarks"):  # mkdocs loads this file without its folder
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))

from results_table import table as results_table  # noqa: E402
from schemas import all_schemas  # noqa: E402

# heading: the settings under it. ``--set`` takes them, except those of a run, which are options.
SETTINGS: dict[str, tuple[str, type]] = {
    "A run": ("`vodkit track`, `detect`, `vodkit.InferSettings`: options", InferSettings),
    "vodkit train": ("`vodkit train --set`, `TrainSettings`", TrainSettings),
    "vodkit train --appearance": ("`vodkit train --appearance --set`", AppearanceSettings),
    **{
        f"Tracker {name}": (f"`vodkit track --tracker {name} --set`, `{cls.__name__}`", cls)
        for name, (_, cls) in TRACKERS.items()
    },
    "vodkit refine": ("`vodkit refine --set`", RefineSettings),
    "vodkit count": ("`vodkit count --set`", CountSettings),
    "vodkit events": ("`vodkit track --event`, `vodkit events --set`", EventSettings),
    "vodkit eval": ("`vodkit eval --set`", EvalSettings),
    "vodkit demo": ("`vodkit demo --set`", DemoSettings),
}
# page: title, what it is for, and the modules whose public names it documents.
API: dict[str, tuple[str, str, str]] = {
    "records": ("Records", "Frames, detections, tracks, datasets.", "ground.records"),
    "video": (
        "Video",
        "Read, write and make up video.",
        "video.reader video.writer video.synth video.cuts",
    ),
    "data": (
        "Data",
        "Labels in and out, audit, split, frames and clips for PyTorch.",
        "formats.table formats.predictions data.audit.audit data.split data.loader",
    ),
    "detect": ("Detect", "Load and export detectors.", "detect.models detect.base"),
    "track": (
        "Track",
        "Trackers and what works on tracks.",
        "track.base track.table track.refine track.count",
    ),
    "infer": (
        "Runs",
        "From video to run folders.",
        "infer.flow infer.batch infer.folder infer.manifest infer.live",
    ),
    "train": ("Train", "Fine-tune detectors.", "train.loop"),
    "metrics": (
        "Metrics",
        "Measure and compare.",
        "metrics.evaluation metrics.compare metrics.accumulate metrics.detection.ap",
    ),
    "report": (
        "Reports",
        "Pages and pictures.",
        "report.page report.sections report.draw report.annotate",
    ),
}


@cache
def generated() -> dict[str, str]:
    """Every generated file: its path in the docs, and its text."""
    pages = dict(_commands())
    pages["reference/settings.md"] = _settings()
    pages["reference/api.md"] = _front_door()
    pages |= {f"reference/api-{name}.md": _api(*page) for name, page in API.items()}
    pages |= {
        f"reference/schemas/{name}.schema.json": json.dumps(schema, indent=2) + "\n"
        for name, schema in all_schemas().items()
    }
    pages["project/changelog.md"] = _read("CHANGELOG.md")
    pages["project/contributing.md"] = _read("CONTRIBUTING.md")
    return pages


def _read(name: str) -> str:
    """A file of the checkout; its links into the docs become links from ``project/``."""
    text = (CHECKOUT / name).read_text(encoding="utf-8")
    return re.sub(r"\]\(docs/", "](../", text)


def _commands() -> Iterator[tuple[str, str]]:
    root = typer.main.get_command(app)
    found = list(_leaves(root, ""))
    rows = [f"| [`vodkit {name}`]({_file(name)}) | {_first(one)} |" for name, one in found]
    head = "# Command line\n\nWritten from the commands themselves"
    head += "; `vodkit COMMAND --help` prints the same.\n\n"
    table = "\n".join(["| command | |", "|---|---|", *rows])
    codes = "Exit codes: [conventions](../conventions.md#exit-codes)."
    yield "reference/cli/index.md", f"{head}{table}\n\n{codes}\n"
    for name, one in found:
        yield f"reference/cli/{_file(name)}", _command(name, one)


def _leaves(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
        return
    for key in command.list_commands(None):
        yield from _leaves(inner[key], f"{name} {key}".strip())


def _file(name: str) -> str:
    return f"{name.replace(' ', '-')}.md"


def _first(command: Any) -> str:
    return " ".join((command.help or "").split("\n\n")[0].split())


def _command(name: str, command: Any) -> str:
    """The page of one command: what it does, its example, arguments and options."""
    text = [f"# vodkit {name}", ""]
    for part in (command.help or "").split("\n\n"):
        words = " ".join(part.split())
        if words.startswith("Example: "):
            text += ["```sh", words.removeprefix("Example: "), "```", ""]
        else:
            text += [words, ""]
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    if arguments:
        text += ["## Arguments", "", "| argument | meaning |", "|---|---|"]
        text += [f"| `{one.name}` | {_cell(getattr(one, 'help', '') or '')} |" for one in arguments]
        text.append("")
    text += ["## Options", "", "| option | meaning | default |", "|---|---|---|"]
    text += [
        f"| {', '.join(f'`{word}`' for word in (*one.opts, *one.secondary_opts))} "
        f"| {_cell(_meaning(one))} | {_default(one)} |"
        for one in command.params
        if one.param_type_name == "option"
    ]
    return "\n".join([*text, "| `-h`, `--help` | Show the help and exit. | |", ""])


def _meaning(option: Any) -> str:
    words = (option.help or "").rstrip()
    for name in set(TABLES) & set(option.opts):
        known = names_in(*TABLES[name])
        if not all(one in words for one in known):
            words = f"{words} Names: {', '.join(known)}."
    return words


def _default(option: Any) -> str:
    value = option.default() if callable(option.default) else option.default
    if value in (None, "", (), []) or value is False or option.is_flag:
        return ""
    return f"`{value}`" if not isinstance(value, list | tuple) else f"`{' '.join(map(str, value))}`"


def _cell(text: str) -> str:
    """Text of a help in a cell of a table: letter by letter, except for code between backticks."""
    parts = " ".join(text.split()).replace("|", "\\|").split("`")
    parts[::2] = [re.sub(r"([\[*_])", r"\\\1", one.replace("<", "&lt;")) for one in parts[::2]]
    return "`".join(parts)


def _settings() -> str:
    text = [
        "# Settings",
        "",
        "Names, defaults and meanings of every setting, written from the dataclasses.",
        "",
    ]
    for title, (where, cls) in SETTINGS.items():
        text += [f"## {title}", "", f"{where}.", ""]
        text += ["| setting | default | allowed | meaning |", "|---|---|---|---|"]
        text += [
            f"| `{one.name}` | `{one.default}` | {_cell(one.allowed)} | {_cell(one.meaning)} |"
            for one in explained(cls)
        ]
        text.append("")
    return "\n".join(text)


def _front_door() -> str:
    text = [
        "# Python: the front door",
        "",
        "`import vodkit` gives these names; each is loaded when it is first used.",
        "",
    ]
    for name in vodkit.__all__:
        text += [f"::: {getattr(vodkit, name).__module__}.{name}", ""]
    return "\n".join(text)


def _api(title: str, what: str, modules: str) -> str:
    """A page of module headings with their public names."""
    text = [f"# Python: {title.lower()}", "", what, ""]
    front = {getattr(vodkit, name) for name in vodkit.__all__}
    for module in (f"vodkit.{name}" for name in modules.split()):
        text += [f"## `{module}`", ""]
        made = import_module(module)
        for name, one in vars(made).items():
            public = not name.startswith("_") and getattr(one, "__module__", "") == module
            if public and (inspect.isclass(one) or inspect.isfunction(one)):
                if one in front:
                    text += [f"`{name}`: [front door](api.md#{module}.{name})", ""]
                else:
                    text += [f"::: {module}.{name}", "    options: {heading_level: 3}", ""]
    return "\n".join(text)


def on_config(config: Any) -> Any:
    """Put the generated pages into the navigation."""
    pages = generated()
    commands = [
        {_title(path): path}
        for path in pages
        if path.startswith("reference/cli/") and "index" not in path
    ]
    python: list[Any] = [{"Front door": "reference/api.md"}]
    python += [{title: f"reference/api-{name}.md"} for name, (title, _, _) in API.items()]
    _fill(config.nav, "Command line", ["reference/cli/index.md", *commands])
    _fill(config.nav, "Python", python)
    for section in ("guides", "benchmarks"):
        named = set(_paths([one for one in config.nav if section.title() in one]))
        found = (f"{section}/{path.name}" for path in sorted((DOCS / section).glob("*.md")))
        entry = next(one for one in config.nav if section.title() in one)
        entry[section.title()] += [path for path in found if path not in named]
    return config


def _title(path: str) -> str:
    return generated()[path].splitlines()[0].removeprefix("# vodkit ")


def _fill(nav: list[Any], title: str, pages: list[Any]) -> None:
    for entry in nav:
        if isinstance(entry, dict):
            ((name, inner),) = entry.items()
            if name == title:
                entry[name] = pages
            elif isinstance(inner, list):
                _fill(inner, title, pages)


def on_files(files: Any, *, config: Any) -> Any:
    """Add the generated pages and files."""
    from mkdocs.structure.files import File

    for path, text in generated().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, **_given: Any) -> str:
    """The table of all figures, where a page has its mark."""
    return markdown.replace("<!-- figures -->", results_table())


@event_priority(-100)  # after the search plugin has written its index
def on_post_build(*, config: Any) -> None:
    """Write ``llms.txt`` and the pages as Markdown beside the HTML, for programs that read text.

    The search index becomes a script, too, which pages opened from the disk may load.
    """
    site = Path(config.site_dir)
    index = (site / "search" / "search_index.json").read_text(encoding="utf-8")
    (site / "search" / "search_index.js").write_text(f"var __index = {index}", encoding="utf-8")
    for source in DOCS.rglob("*.md"):
        target = site / source.relative_to(DOCS)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    for path, text in generated().items():
        if path.endswith(".md"):
            (site / path).write_text(text, encoding="utf-8")
    lines = ["# vodkit", "", f"> {config.site_description}.", ""]
    for entry in config.nav:
        ((title, inner),) = entry.items()
        lines += [f"## {title}", "", *(_line(site, path) for path in _paths(inner)), ""]
    (site / "llms.txt").write_text("\n".join(lines), encoding="utf-8")


def _paths(entries: list[Any]) -> Iterator[str]:
    for entry in entries:
        inner = entry if isinstance(entry, str) else next(iter(entry.values()))
        if isinstance(inner, str):
            yield inner
        else:
            yield from _paths(inner)


def _line(site: Path, path: str) -> str:
    """A page in ``llms.txt``: its title, and its first sentence."""
    text = (site / path).read_text(encoding="utf-8")
    title = re.search(r"^# (.*)", text, re.MULTILINE)
    prose = re.sub(r"^ *```.*?^ *```|^[#!|<:].*?$", "", text, flags=re.MULTILINE | re.DOTALL)
    first = " ".join(prose.strip().split("\n\n")[0].split()).split(". ")[0].rstrip(".:")
    first = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", first)
    return f"- [{title[1] if title else path}]({path}): {first}"
