"""User-facing texts are plain technical English: a small list of words stays out of them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent
SOURCE = CHECKOUT / "src" / "vodkit"
BANNED = {
    r"whoever": "an object, a track, a caller",
    r"(some|no)body": "an object, a track, a user",
    r"(is|are) told": "is reported",
    r"tells? of": "reports",
    r"(gone|goes|go|going) on\b(?! with the|to)": "continues, is resumed",
    r"looked[- ]at|looks at": "detected, inspected, processed",
    r"anew": "again, from scratch, starts over",
    r"stands? twice": "duplicate, occurs twice",
    r"told apart": "distinguished",
    r"how sure": "no confidence interval",
    r"trembl\w+": "jitter",
    r"mend(s|ed)?": "fix, repair",
    r"says the same": "has matching outputs",
    r"by heart": "overfit",
    r"an edition|editions|second edition|first edition": "a version",
}
PATTERN = re.compile("|".join(rf"\b(?:{one})\b" for one in BANNED), re.IGNORECASE)
PAGES = [
    CHECKOUT / "README.md",
    *(p for p in sorted((CHECKOUT / "docs").rglob("*.md")) if "benchmarks" not in p.parts),
]


def spoken(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of every string of a module but its docstrings; of commands, these too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    silent = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            silent.add(id(node.value))
        if isinstance(node, documented) and path.parent.name == "cli":
            silent -= {id(x.value) for x in node.body[:1] if isinstance(x, ast.Expr)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in silent
        ):
            yield node.lineno, node.value


def test_strings_are_plain() -> None:
    found = [
        f"{path.name}:{line}: {word.group(0)!r} in {text[:70]!r}"
        for path in sorted(SOURCE.rglob("*.py"))
        for line, text in spoken(path)
        for word in PATTERN.finditer(text)
    ]
    assert not found, "\n".join(found)


def test_pages_are_plain() -> None:
    found = [
        f"{path.name}:{text.count(chr(10), 0, word.start()) + 1}: {word.group(0)!r}"
        for path in PAGES
        for text in [path.read_text(encoding="utf-8")]
        for word in PATTERN.finditer(text.replace("\n", " "))  # phrases go on in the next line
    ]
    assert not found, "\n".join(found)
