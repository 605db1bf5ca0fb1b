"""Settings: a frozen dataclass, filled from a TOML file and from ``name=value`` words.

Keys are strict: an unknown one is an error that names the nearest valid ones, so that a
misspelt option can never silently train the wrong thing. ``to_toml`` writes the effective
settings, and reading them back gives an equal object.
"""

import json
import math
import operator
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, field, fields, is_dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from vodkit.ground.errors import SettingsError
from vodkit.ground.lookup import unknown

S = TypeVar("S")
_LONG = 90
Value = Any  # what TOML holds: str, int, float, bool, list, table


def setting(
    default: Any,
    help: str,  # noqa: A002
    *,
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
    below: float | None = None,
    choices: Sequence[str] = (),
    flags: Sequence[str] = (),
    commas: bool = False,
    hidden: bool = False,
) -> Any:
    """A dataclass field that is the one source of a setting: default, help, range, CLI option.

    Args:
        default: the value where none is given.
        help: a noun phrase or an imperative for ``--help`` and tables of settings.
        low: least value, included; ``above``: excluded.
        above: the value must be larger than this.
        high: largest value, included; ``below``: excluded.
        below: the value must be smaller than this.
        choices: allowed words, if only these are.
        flags: words of the command line, if not ``--name-of-the-field``.
        commas: the words of a tuple are given as one, with commas; else one by one.
        hidden: not an option of the command line.
    """
    bounds = {"low": low, "above": above, "high": high, "below": below}
    known = {name: bound for name, bound in bounds.items() if bound is not None}
    more = {"choices": tuple(choices), "flags": tuple(flags), "commas": commas, "hidden": hidden}
    return field(default=default, metadata={"help": help, "bounds": known, **more})


def bounded(default: Any, **bounds: float) -> Any:
    """A dataclass field with a range, which its docstring need not repeat.

    Args:
        default: the value where none is given.
        **bounds: ``low``, ``above``, ``high``, ``below``, as of ``setting``.
    """
    return field(default=default, metadata={"bounds": bounds})


def check_ranges(settings: object, *, prefix: str = "") -> None:
    """SettingsError for the first value outside of the range or choices that its field states.

    ``prefix``: comes before the names, of settings within others.
    """
    for spec in fields(settings):  # type: ignore[arg-type]
        name, value = f"{prefix}{spec.name}", getattr(settings, spec.name)
        bounds, choices = spec.metadata.get("bounds", {}), spec.metadata.get("choices", ())
        if isinstance(value, int | float | Fraction) and not all(
            _WITHIN[kind](value, bound) for kind, bound in bounds.items()
        ):
            raise SettingsError(f"{name} is {value}; allowed: {allowed(bounds)}")
        if choices and value not in choices:
            raise SettingsError(f"{name} is {value!r}; allowed: {', '.join(choices)}")


_WITHIN: dict[str, Callable[[Any, float], bool]] = {
    "low": operator.ge,
    "above": operator.gt,
    "high": operator.le,
    "below": operator.lt,
}


def allowed(bounds: Mapping[str, float]) -> str:
    """A range in words.

    >>> allowed({"low": 1}), allowed({"low": 0, "below": 1}), allowed({"low": 0, "high": 1})
    ('1 or more', '0 or more, below 1', '0 to 1')
    >>> allowed({"above": 0, "below": math.inf})
    'above 0, finite'
    """
    if {"low", "high"} <= bounds.keys():
        return f"{bounds['low']} to {bounds['high']}"
    words = {"low": "{} or more", "above": "above {}", "high": "up to {}", "below": "below {}"}
    return ", ".join(
        "finite" if bound == math.inf else words[name].format(bound)
        for name, bound in bounds.items()
    )


def words_of(settings: object, *, prefix: str = "") -> tuple[str, ...]:
    """All settings as ``a.b=value`` words, which ``load`` reads back to an equal object."""
    words: list[str] = []
    for spec in fields(settings):  # type: ignore[arg-type]
        value, name = getattr(settings, spec.name), f"{prefix}{spec.name}"
        if is_dataclass(value):
            words += words_of(value, prefix=f"{name}.")
        elif value is not None:
            words.append(f"{name}={_toml_value(value)}")
    return tuple(words)


def load(cls: type[S], *, toml: Path | None = None, words: Sequence[str] = ()) -> S:
    """``cls`` from its defaults, then the TOML file, then ``a.b=value`` words."""
    values: dict[str, Value] = {} if toml is None else _read_toml(toml)
    for word in words:
        if "=" not in word:
            there = ", ".join(_names(cls))
            raise SettingsError(f"{word!r} is not of the form name=value; settings: {there}")
        _put(values, word)
    return build(cls, values)


def build(
    cls: type[S], values: Mapping[str, Value], *, where: str = "", base: S | None = None
) -> S:
    """``cls`` from a nested mapping; wrong names and types raise SettingsError.

    Settings that ``values`` lacks are those of ``base``, or the defaults of ``cls``.
    """
    types = get_type_hints(cls)
    known = {spec.name: spec for spec in fields(cls)}  # type: ignore[arg-type]
    ready = {}
    for name, value in values.items():
        if name not in known:
            raise unknown(f"{where}{name}", (f"{where}{one}" for one in known), "setting")
        inner = _default(known[name]) if base is None else getattr(base, name)
        ready[name] = _convert(types[name], value, f"{where}{name}", base=inner)
    try:
        return cls(**ready) if base is None else replace(base, **ready)  # type: ignore[type-var]
    except TypeError as error:
        message = str(error).replace(f"{cls.__name__}.__init__() ", "")
        raise SettingsError(f"settings {where.rstrip('.')}: {message}") from error


def to_toml(settings: object, *, prefix: str = "") -> str:
    """The settings as TOML text; None is left out, tables follow plain values."""
    lines, tables = [], []
    for spec in fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, spec.name)
        if is_dataclass(value):
            body = to_toml(value, prefix=f"{prefix}{spec.name}.")
            tables.append(f"\n[{prefix}{spec.name}]\n{body}")
        elif value is not None:
            lines.append(f"{spec.name} = {_toml_value(value)}\n")
    return "".join(lines + tables)


def _read_toml(path: Path) -> dict[str, Value]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: cannot read the settings: {error}") from error


def _names(cls: type, prefix: str = "") -> Iterator[str]:
    """The names of all settings, those in tables as ``table.name``."""
    types = get_type_hints(cls)
    for spec in fields(cls):
        inner = types[spec.name]
        if is_dataclass(inner):
            yield from _names(inner, f"{prefix}{spec.name}.")  # type: ignore[arg-type]
        else:
            yield f"{prefix}{spec.name}"


def _put(values: dict[str, Value], word: str) -> None:
    """Put one ``a.b=value`` word into the nested mapping; TOML values are read as such."""
    name, _, text = word.partition("=")
    *tables, last = name.strip().split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise SettingsError(f"{word!r}: {table} was given as {values!r}; it holds settings")
    try:
        values[last] = tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        values[last] = text


def _default(spec: "Field[Any]") -> Any:
    """The default of a field; None where it has none."""
    if spec.default_factory is not MISSING:
        return spec.default_factory()
    return None if spec.default is MISSING else spec.default


def _convert(expected: Any, value: Value, name: str, *, base: Any = None) -> Any:
    """``value`` as the annotated type; int may stand for float, lists for tuples.

    ``base``: for a table, the settings that it changes.
    """
    if get_origin(expected) in (Union, UnionType):
        options = [option for option in get_args(expected) if option is not NoneType]
        if value is None:
            return None
        fitting = [option for option in options if type(value) is (get_origin(option) or option)]
        return _convert((fitting or options)[0], value, name)
    if is_dataclass(expected) and isinstance(value, Mapping):
        kept = base if isinstance(base, expected) else None  # type: ignore[arg-type]
        return build(expected, value, where=f"{name}.", base=kept)  # type: ignore[arg-type]
    if get_origin(expected) is tuple and isinstance(value, list):
        return tuple(_convert(get_args(expected)[0], item, name) for item in value)
    if expected is float and type(value) is int:
        return float(value)
    if expected is str and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    allowed = get_origin(expected) or expected
    if allowed is Any or type(value) is allowed:
        return value
    seen, wanted = type(value).__name__, getattr(expected, "__name__", str(expected))
    raise SettingsError(f"setting {name} is {value!r} ({seen}); allowed: {wanted}")


def _toml_value(value: Value) -> str:
    if isinstance(value, tuple | list):
        items = [_toml_value(item) for item in value]
        line = f"[{', '.join(items)}]"
        return line if len(line) < _LONG else "[\n" + "".join(f"  {one},\n" for one in items) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    return json.dumps(str(value), ensure_ascii=False)
