"""The tables of measured figures in README and docs/status.md, from the newest results file.

    python benchmarks/results_table.py            # rewrite both
    python benchmarks/results_table.py --check    # exit 1 where they differ

``benchmarks/results/<date>.json`` holds ``machine`` (words) and ``results``, each with ``what``,
``budget`` (words; empty: none was set), ``measured`` (words), ``kept`` (true, false, or null where
there is no budget), ``command``, ``headline`` (whether the README shows it), and ``date`` where it
was measured on another day.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parent.parent
RESULTS = CHECKOUT / "benchmarks" / "results"
KEPT = {True: "yes", False: "**no**", None: ""}
BLOCK = re.compile(r"(<!-- results -->\n).*?(<!-- end of results -->)", re.DOTALL)


def newest() -> tuple[str, dict[str, Any]]:
    """The date and content of the newest results file."""
    path = max(RESULTS.glob("*.json"))
    return path.stem, json.loads(path.read_text(encoding="utf-8"))


def table(*, headline: bool) -> str:
    """Markdown; only the headline figures, or all with their commands."""
    date, content = newest()
    rows = [row for row in content["results"] if row.get("headline") or not headline]
    head = ["what", "budget", "measured", "kept"] + ([] if headline else ["command"])
    lines = [f"Measured {date} on {content['machine']}.", "", _row(head), _row(["---"] * len(head))]
    for row in rows:
        day = f" ({row['date']})" if row.get("date") else ""
        cells = [row["what"], row["budget"], row["measured"] + day, KEPT[row["kept"]]]
        lines.append(_row(cells if headline else [*cells, f"`{row['command']}`"]))
    return "\n".join(lines) + "\n"


def rewritten(text: str, *, headline: bool) -> str:
    """A document with its table as it should be."""
    return BLOCK.sub(lambda found: found[1] + table(headline=headline) + found[2], text)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Rewrite or check README and status."""
    stale = []
    for name, headline in (("README.md", True), ("docs/status.md", False)):
        path = CHECKOUT / name
        text = path.read_text(encoding="utf-8")
        wanted = rewritten(text, headline=headline)
        if text != wanted and "--check" in sys.argv:
            stale.append(name)
        elif text != wanted:
            path.write_text(wanted, encoding="utf-8")
    sys.exit(f"stale tables in {', '.join(stale)}; run {Path(__file__).name}" if stale else 0)


if __name__ == "__main__":
    main()
