"""Which command a command line calls, and which options it has; errors name no others."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
_OTHER_COMMAND = re.compile(r"vodkit [a-z]+")


@dataclass(frozen=True)
class Chosen:
    """A command line, as far as it is known without being parsed."""

    path: tuple[str, ...]
    """the names of group and command, as ``("data", "split")``; empty: no command"""
    options: frozenset[str]
    """all names of its options, as ``--out`` and ``-o``"""
    words: tuple[str, ...]
    """everything after ``vodkit``"""
    command: Any
    """the parser's command"""


def chosen(root: Any, words: Sequence[str]) -> Chosen:
    """The command that ``words`` call, below the group ``root``."""
    path: list[str] = []
    command = root
    for word in words:
        inner = getattr(command, "commands", {})
        if word not in inner:
            break
        command = inner[word]
        path.append(word)
    names = (name for param in command.params for name in (*param.opts, *param.secondary_opts))
    options = frozenset(name for name in names if name.startswith("-"))
    return Chosen(tuple(path), options | {"--help", "-h"}, tuple(words), command)


def foreign(message: str, options: frozenset[str]) -> list[str]:
    """The options in a message that are not in ``options``, unless named with their command.

    >>> foreign("give --out; or: vodkit train --resume", frozenset({"--out"}))
    []
    """
    found = []
    for part in message.split("; "):
        named = _OTHER_COMMAND.search(part)
        end = named.start() if named else len(part)
        found += [one for one in _OPTION.findall(part[:end]) if one not in options]
    return found


def only_own(message: str, command: Chosen) -> str:
    """The message without hints at options that the command lacks.

    The library raises one error for several commands; a hint is a clause after a semicolon, a
    part of one after a comma, or something in parentheses.

    >>> eval_ = Chosen(("eval",), frozenset({"--out"}), (), None)
    >>> only_own("runs/a: has a run; --resume continues it, --overwrite replaces it", eval_)
    'runs/a: has a run'
    >>> only_own("a: not labelled (see --split); give the size, or --out", eval_)
    'a: not labelled; give the size, or --out'
    """
    head, *hints = message.split("; ")
    kept = [_without_parentheses(head, command.options)]
    for hint in hints:
        text = _without_parentheses(hint, command.options)
        parts = [part for part in text.split(", ") if not foreign(part, command.options)]
        if parts and any(character.isalnum() for part in parts for character in part):
            kept.append(", ".join(parts))
    return "; ".join(kept)


def _without_parentheses(text: str, options: frozenset[str]) -> str:
    def keep(found: re.Match[str]) -> str:
        return "" if foreign(found[0], options) else found[0]

    return re.sub(r" ?\([^()]*\)", keep, text)
