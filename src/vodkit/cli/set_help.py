"""``--set help``: every setting of a command with meaning, default and range.

Names and defaults are the fields of the dataclass, meanings its docstrings, ranges its refusals.
"""

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from importlib import import_module
from itertools import pairwise
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from vodkit.cli.own_options import Chosen
from vodkit.ground.errors import SettingsError
from vodkit.ground.settings import build

_ALLOWED = re.compile(r"(?:allowed: |choose from: )(.+)$")
# Values that are out of most ranges; a setting names its range when it refuses one of them.
_PROBES: tuple[Any, ...] = (-1e9, -(10**9), 1e9, 10**9, float("nan"), "?", "", -1.0, 0, 0.0)
_KINDS = {bool: "true, false", int: "a whole number", float: "a number", str: "text"}


@dataclass(frozen=True)
class Explained:
    """One setting, for people."""

    name: str
    meaning: str
    default: str
    """as TOML writes it; ``required`` where there is none"""
    allowed: str
    """its range, or else its kind"""


def asks_for_settings(words: Sequence[str]) -> bool:
    """Whether a command line has ``--set help``, or ``--set=help``."""
    pairs = pairwise(words)
    return "--set=help" in words or ("--set", "help") in pairs


def say_settings(command: Chosen) -> None:
    """Print the settings that ``--set`` takes in a command; SettingsError where it takes none."""
    from vodkit.cli.terminal import say, say_table

    named = " ".join(("vodkit", *command.path))
    if "--set" not in command.options:
        raise SettingsError(f"{named} has no --set")
    classes = settings_of(command)
    for cls in classes:
        rows = [[one.name, one.default, one.allowed, one.meaning] for one in explained(cls)]
        say_table(["setting", "default", "allowed", "meaning"], rows)
    name = next(explained(classes[0])).name
    say(f"Set one with: {named} ... --set {name}=VALUE")


def settings_of(command: Chosen) -> list[type]:
    """The settings classes of a command line, which may choose between several."""
    find = _CLASSES[" ".join(command.path)]
    words = list(command.words[len(command.path) :])
    with command.command.make_context("vodkit", words, resilient_parsing=True) as context:
        return find(dict(context.params))


def _tracker(given: dict[str, Any]) -> list[type]:
    from vodkit.ground.lookup import pick
    from vodkit.track.table import TRACKERS

    return [pick(TRACKERS, given.get("tracker") or "vodkit", "tracker")[1]]


def _training(given: dict[str, Any]) -> list[type]:
    if given.get("appearance"):
        from vodkit.train.appearance_data import AppearanceSettings

        return [AppearanceSettings]
    if given.get("temporal"):
        from vodkit.train.temporal_data import TemporalSettings

        return [TemporalSettings]
    from vodkit.train.settings import TrainSettings

    return [TrainSettings]


def _always(module: str, name: str) -> Callable[[dict[str, Any]], list[type]]:
    return lambda _given: [getattr(import_module(module), name)]


_refining = _always("vodkit.track.refine", "RefineSettings")
# command: what finds its settings from the options given. One line a command that has --set.
_CLASSES: dict[str, Callable[[dict[str, Any]], list[type]]] = {
    "demo": _always("vodkit.demo", "DemoSettings"),
    "data prelabel": _refining,
    "train": _training,
    "track": _tracker,
    "serve": _tracker,
    "refine": _refining,
    "count": _always("vodkit.track.count", "CountSettings"),
    "events": _always("vodkit.infer.event_settings", "EventSettings"),
    "eval": _always("vodkit.metrics.evaluation", "EvalSettings"),
}


def explained(cls: type, prefix: str = "", *, outer: Any = MISSING) -> Iterator[Explained]:
    """Every setting of a settings dataclass, those of inner ones as ``outer.inner``.

    ``outer``: what the class around this one has for it; its values are the defaults then.
    """
    types, said = get_type_hints(cls), meanings(cls)
    for spec in fields(cls):
        kind = _inner(types[spec.name])
        value = spec.default if spec.default_factory is MISSING else spec.default_factory()
        if isinstance(outer, cls):
            value = getattr(outer, spec.name)
        if isinstance(kind, type) and is_dataclass(kind):
            yield from explained(kind, f"{prefix}{spec.name}.", outer=value)
            continue
        yield Explained(
            name=prefix + spec.name,
            meaning=spec.metadata.get("help") or said.get(spec.name, ""),
            default="required" if value is MISSING else _shown(value),
            allowed=_allowed(cls, spec.name, kind),
        )


def _inner(kind: Any) -> Any:
    """``int`` of ``int | None``."""
    if get_origin(kind) in (Union, UnionType):
        return next(one for one in get_args(kind) if one is not NoneType)
    return kind


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(json.dumps(x) if isinstance(x, str) else _shown(x) for x in value)}]"
    return f"{value:g}" if isinstance(value, float) else str(value) or '""'


def _allowed(cls: type, name: str, kind: Any) -> str:
    """The range as the class words it when it refuses a value, or else the kind of value."""
    required = {
        spec.name: {int: 1, float: 1.0, bool: True}.get(_inner(get_type_hints(cls)[spec.name]), "x")
        for spec in fields(cls)
        if spec.default is MISSING and spec.default_factory is MISSING
    }
    for probe in _PROBES:
        if type(probe) is not kind:
            continue
        try:
            build(cls, {**required, name: probe})
        except SettingsError as error:
            if (found := _ALLOWED.search(str(error))) is not None:
                return found[1].partition("; ")[0]
        except (ValueError, TypeError, OverflowError):
            continue
    if get_origin(kind) is tuple:
        return f"a list: {_KINDS.get(get_args(kind)[0], 'values')}"
    return _KINDS.get(kind, "a value")


@cache
def meanings(cls: type) -> dict[str, str]:
    """The docstring after each field, in one line."""
    (made,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(made, ast.ClassDef)
    found = {}
    for field, text in pairwise(made.body):
        is_text = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
            found[field.target.id] = " ".join(str(text.value.value).split())  # type: ignore[attr-defined]
    return found
