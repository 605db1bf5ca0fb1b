"""The table of measured figures in docs/status.md, from the newest results file.

    python benchmarks/results_table.py            # rewrite it
    python benchmarks/results_table.py --check    # exit 1 where it differs

``benchmarks/results/<date>.json`` holds ``machine`` (words) and ``results``, each with ``what``,
``budget`` (words; empty: none was set), ``measured`` (words), ``kept`` (true, false, or null where
there is no budget), ``command`` and ``date`` where it was measured on another day.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parent.parent
RESULTS = CHECKOUT / "benchmarks" / "results"
STATUS = CHECKOUT / "docs" / "status.md"
KEPT = {True: "yes", False: "**no**", None: ""}
BLOCK = re.compile(r"(<!-- results -->\n).*?(<!-- end of results -->)", re.DOTALL)


def newest() -> tuple[str, dict[str, Any]]:
    """The date and content of the newest results file."""
    path = max(RESULTS.glob("*.json"))
    return path.stem, json.loads(path.read_text(encoding="utf-8"))


def table() -> str:
    """Markdown: all figures with their commands."""
    date, content = newest()
    lines = [f"Measured {date} on {content['machine']}.", ""]
    lines += [_row(["what", "budget", "measured", "kept", "command"]), _row(["---"] * 5)]
    for row in content["results"]:
        day = f" ({row['date']})" if row.get("date") else ""
        kept, command = KEPT[row["kept"]], f"`{row['command']}`"
        lines.append(_row([row["what"], row["budget"], row["measured"] + day, kept, command]))
    return "\n".join(lines) + "\n"


def rewritten(text: str) -> str:
    """The document with its table as it should be."""
    return BLOCK.sub(lambda found: found[1] + table() + found[2], text)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Rewrite or check the status page."""
    text = STATUS.read_text(encoding="utf-8")
    wanted = rewritten(text)
    if text != wanted and "--check" in sys.argv:
        sys.exit(f"stale table in {STATUS.name}; run {Path(__file__).name}")
    STATUS.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
