"""Notes on prediction files: many of one kind become one line."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

MAX_ALIKE = 3
"""notes of one kind that are printed each"""


class Notes:
    """Notes by kind: of more than three of a kind the first and a count are kept."""

    def __init__(self) -> None:
        """Start with none."""
        self._by_kind: dict[str, list[tuple[Path, str]]] = {}

    def add(self, kind: str, file: Path, text: str) -> None:
        """Keep ``text`` about ``file``; an empty text is none."""
        if text:
            self._by_kind.setdefault(kind, []).append((file, text))

    def lines(self) -> tuple[str, ...]:
        """All notes; of many of one kind the first, the number and names of the others."""
        return tuple(line for found in self._by_kind.values() for line in _few(found))


def _few(found: Sequence[tuple[Path, str]]) -> list[str]:
    if len(found) <= MAX_ALIKE:
        return [f"{file}: {text}" for file, text in found]
    (file, text), others = found[0], [*dict.fromkeys(str(one) for one, _ in found[1:])]
    named = f": {', '.join(others[:MAX_ALIKE])}{', ...' * (len(others) > MAX_ALIKE)}"
    return [f"{file}: {text} (and {len(found) - 1} more like it{named * (len(others) > 1)})"]


def dropped_lines(by_file: Mapping[Path, Counter[str]]) -> Iterator[str]:
    """Boxes of classes that the truth lacks: a note for each file; one for all where many."""
    where = {str(file): count for file, count in by_file.items()}
    if len(where) > MAX_ALIKE:
        where = {f"{len(where)} files": sum(where.values(), Counter())}
    for place, counts in where.items():
        classes = ", ".join(f"{name} {count}" for name, count in counts.most_common(5))
        also = ", ..." * (len(counts) > 5)
        lacks = f"{counts.total()} boxes of classes that the truth lacks are left out"
        yield f"{place}: {lacks}: {classes}{also}"
