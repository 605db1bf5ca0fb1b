"""Options that several commands share. Those of settings are made from the fields of the records.

``with_settings`` gives a command the options of its parameters that are records of settings::

    @with_settings()
    def track(sources: list[str] = SOURCES, *, wanted: InferSettings) -> None: ...

has ``--model``, ``--tracker``, ... and is called with an ``InferSettings``.
"""

import inspect
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import Field, fields, is_dataclass
from functools import wraps
from typing import Any, Union, get_args, get_origin, get_type_hints

import typer

from vodkit.ground import process
from vodkit.ground.account import STRICT as STRICT_READING
from vodkit.ground.errors import SettingsError
from vodkit.ground.settings import allowed

Command = Callable[..., None]


def _use_threads(count: int) -> int:
    """Before anything heavy is imported: libraries read it once."""
    if count:
        process.use_threads(count)
    return count


def _be_strict(ctx: typer.Context, strict: bool) -> bool:
    """For this command alone."""
    token = STRICT_READING.set(strict)
    ctx.call_on_close(lambda: STRICT_READING.reset(token))
    return strict


STRICT = typer.Option(
    False,
    "--strict",
    callback=_be_strict,
    help="Refuse label files of which any object would be skipped.",
)
THREADS = typer.Option(
    0,
    "--threads",
    min=0,
    callback=_use_threads,
    help="CPU threads; 0: OMP_NUM_THREADS, else all cores.",
)
SOURCES = typer.Argument(
    ...,
    help="Video files, folders of images, 'glob*.jpg', camera numbers, URLs (rtsp://, http://, "
    "'s3://bucket/**/*.mp4').",
)
OVERWRITE = typer.Option(False, "--overwrite", help="Discard the results of an earlier run.")
JSON = typer.Option(False, "--json", help="Print results for machines.")


def with_settings(*, without: Sequence[str] = (), **helps: str) -> Callable[[Command], Command]:
    """Options for every field of the parameters that are records of settings.

    Args:
        without: fields that this command has no option for; they keep their defaults.
        **helps: other help texts, by field.
    """

    def decorate(command: Command) -> Command:
        hints = get_type_hints(command)
        own = inspect.signature(command).parameters
        records = {name: hints[name] for name in own if is_dataclass(hints[name])}
        shown = {name: [*_shown(kind, without)] for name, kind in records.items()}

        @wraps(command)
        def run(**given: Any) -> None:
            for name, kind in records.items():
                values = {spec.name: _value(given.pop(spec.name), spec) for spec in shown[name]}
                given[name] = kind(**values)
            command(**given)

        parameters: list[inspect.Parameter] = []
        for name, parameter in own.items():
            if name in records:
                types = get_type_hints(records[name])
                parameters += [_parameter(one, types[one.name], helps) for one in shown[name]]
            else:
                parameters.append(
                    parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name])
                )
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        return run

    return decorate


def option_of(record: type, name: str, *, help: str = "") -> Any:  # noqa: A002
    """The option of one field of settings, for a command that takes few of them.

    ``help``: instead of the field's, where the command allows less.
    """
    (spec,) = (spec for spec in fields(record) if spec.name == name)
    return _parameter(spec, get_type_hints(record)[name], {name: help} if help else {}).default


def _shown(kind: Any, without: Sequence[str]) -> Iterator[Field[Any]]:
    yield from (f for f in fields(kind) if f.name not in without and not f.metadata["hidden"])


def _parameter(spec: Field[Any], kind: Any, helps: Mapping[str, str]) -> inspect.Parameter:
    """A field of settings as a parameter that typer makes an option of."""
    word, bounds = spec.name.replace("_", "-"), spec.metadata["bounds"]
    usual = f"--{word}/--no-{word}" if spec.default is True else f"--{word}"
    text = helps.get(spec.name, spec.metadata["help"])
    if bounds and spec.name not in helps:
        text = f"{text.rstrip('.')} ({allowed(bounds)})."
    default: Any = spec.default
    if get_origin(kind) in (Union, types.UnionType) and default is None:
        (kind,) = (one for one in get_args(kind) if one is not types.NoneType)
    elif spec.metadata["commas"] or get_origin(kind) in (Union, types.UnionType):
        kind, default = str, ",".join(default) if isinstance(default, tuple) else str(default)
    elif get_origin(kind) is tuple:
        kind, default = list[str], list(default)
    option = typer.Option(default, *(spec.metadata["flags"] or (usual,)), help=text)
    return inspect.Parameter(
        spec.name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=kind
    )


def _value(given: Any, spec: Field[Any]) -> Any:
    if spec.metadata["commas"]:
        return names_of(given)
    return tuple(given) if isinstance(given, list) else given


def names_of(classes: str) -> tuple[str, ...]:
    """The names of ``--classes``; an empty one is refused: those after it would move up.

    >>> names_of("car, bus"), names_of("")
    (('car', 'bus'), ())
    """
    names = tuple(name.strip() for name in classes.split(",")) if classes else ()
    if not all(names):
        raise SettingsError(f"--classes {classes!r}: name {names.index('') + 1} is empty")
    return names
