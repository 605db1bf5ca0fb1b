"""Notebooks from the tutorials: ``python docs/notebooks.py`` writes ``examples/notebooks``.

A page is the source of its notebook; a test keeps them equal, another one executes them. Text
becomes text cells, ``sh`` blocks become ``!`` lines, ``python`` blocks become code cells.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
NOTEBOOKS = DOCS.parent / "examples" / "notebooks"
PAGES = {"first_video": "start/first-video.md", "own_class": "start/own-class.md"}
FENCE = re.compile(r"^```(sh|python)\n(.*?)^```\n?", re.MULTILINE | re.DOTALL)


def notebook(name: str) -> str:
    """The text of a notebook (nbformat 4.5) of one of ``PAGES``."""
    page = PAGES[name]
    text = (DOCS / page).read_text(encoding="utf-8")
    cells = [{**cell, "id": f"cell-{place}"} for place, cell in enumerate(_cells(text, page))]
    content = {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _cells(text: str, page: str) -> Iterator[dict[str, Any]]:
    place = 0
    for found in FENCE.finditer(text):
        yield from _words(text[place : found.start()], page)
        yield _code(found[2], shell=found[1] == "sh")
        place = found.end()
    yield from _words(text[place:], page)


def _words(text: str, page: str) -> Iterator[dict[str, Any]]:
    """A text cell, its links into the docs seen from the notebook's folder."""
    folder = f"../../docs/{Path(page).parent.as_posix()}/"
    moved = re.sub(r"\]\((?!https?:|#)", f"]({folder}", text.strip())
    if moved:
        yield {"cell_type": "markdown", "metadata": {}, "source": moved.splitlines(keepends=True)}


def _code(text: str, *, shell: bool) -> dict[str, Any]:
    lines = text.rstrip().splitlines()
    if shell:
        lines = [f"!{line}" for line in lines]
    source = "\n".join(lines).splitlines(keepends=True)
    empty = {"execution_count": None, "metadata": {}, "outputs": []}
    return {"cell_type": "code", **empty, "source": source}


def main() -> None:
    """Write all of them."""
    NOTEBOOKS.mkdir(parents=True, exist_ok=True)
    for name in PAGES:
        (NOTEBOOKS / f"{name}.ipynb").write_text(notebook(name), encoding="utf-8")


if __name__ == "__main__":
    main()
