"""Doctests in docstrings become code blocks of the site (an extension of griffe)."""

import re
from typing import Any

import griffe

_TEST = re.compile(r"(?:^>>> .*\n?)(?:^(?!\s*$).*\n?)*", re.MULTILINE)


class Doctests(griffe.Extension):
    """Puts a fence around every doctest, which Markdown would take for a quotation."""

    def on_instance(self, *, obj: griffe.Object, **_given: Any) -> None:
        """Change the docstring of one module, class, function or attribute."""
        if obj.docstring is not None:
            fenced = _TEST.sub(
                lambda found: f"```pycon\n{found[0].rstrip()}\n```\n", obj.docstring.value
            )
            obj.docstring.value = fenced
