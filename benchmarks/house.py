"""How large the house is: lines and files of each folder, and how long its functions are.

python benchmarks/house.py                          # of src/vodkit
python benchmarks/house.py ../before/src/vodkit     # of another checkout beside it
"""

import argparse
import ast
import statistics
from collections import Counter
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "vodkit"


def code_lines(path: Path) -> int:
    """Lines of a file without blank ones, comments and docstrings."""
    text = path.read_text(encoding="utf-8")
    words: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                words |= set(range(first.lineno, (first.end_lineno or 0) + 1))
    lines = enumerate(map(str.strip, text.splitlines()), 1)
    return sum(1 for at, line in lines if line and line[0] != "#" and at not in words)


def functions(source: Path) -> tuple[list[int], int, int]:
    """Lengths of all functions; private functions; those that are named once in their file."""
    lengths, num_private, num_once = [], 0, 0
    for path in source.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        used = Counter(node.id for node in nodes if isinstance(node, ast.Name))
        used.update(node.attr for node in nodes if isinstance(node, ast.Attribute))
        for node in nodes:
            if not isinstance(node, ast.FunctionDef):
                continue
            said = ast.get_docstring(node, clean=False)
            own = (node.end_lineno or 0) - node.body[0].lineno + 1
            lengths.append(own - (0 if said is None else said.count("\n") + 1))
            if node.name.startswith("_") and not node.name.startswith("__"):
                num_private += 1
                num_once += used[node.name] == 1
    return sorted(lengths), num_private, num_once


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, nargs="?", default=SOURCE)
    source = parser.parse_args().source
    rows: dict[str, list[int]] = {}
    for path in sorted(source.rglob("*.py")):
        folder = path.relative_to(source).parts[0] if path.parent != source else "."
        row = rows.setdefault(folder, [0, 0, 0])
        row[0] += 1
        row[1] += path.read_text(encoding="utf-8").count("\n")
        row[2] += code_lines(path)
    rows["all"] = [sum(column) for column in zip(*rows.values(), strict=True)]
    print(f"{'folder':12}{'files':>7}{'lines':>8}{'of code':>9}")
    for folder, row in rows.items():
        print(f"{folder:12}{row[0]:7}{row[1]:8}{row[2]:9}")
    texts = [path.read_text(encoding="utf-8").splitlines() for path in source.rglob("*.py")]
    stripped = [line.strip() for text in texts for line in text]
    blank, comments = stripped.count(""), sum(line.startswith("#") for line in stripped)
    docstrings = len(stripped) - rows["all"][2] - blank - comments
    print(f"besides code: {docstrings} lines of docstrings, {blank} blank, {comments} comments")
    lengths, num_private, num_once = functions(source)
    p90 = lengths[int(0.9 * len(lengths))]
    print(
        f"{len(lengths)} functions: median {statistics.median(lengths):g} lines, p90 {p90}", end=""
    )
    print(f", longest {lengths[-1]}; {num_private} private, {num_once} of them called once")


if __name__ == "__main__":
    main()
