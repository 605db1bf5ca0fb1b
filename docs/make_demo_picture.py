"""Draw the screen that `vodkit demo` leaves on a terminal: ``python docs/make_demo_picture.py``.

The demo runs on a pseudo-terminal of 100 columns in a scratch folder; ``docs/img/demo.svg`` is its
last screen, letter by letter, with its colours.
"""

import fcntl
import os
import pty
import struct
import sys
import tempfile
import termios
from html import escape
from itertools import groupby
from pathlib import Path

import pyte

COLUMNS, ROWS = 100, 200
CELL_PX = (8.0, 18.0)
MARGIN_PX = 14
PAPER, INK = "#1e1e1e", "#d4d4d4"
COLOURS = {
    "default": INK, "black": "#808080", "red": "#f48771", "green": "#89d185", "brown": "#e2c08d",
    "blue": "#75beff", "magenta": "#d7a0e0", "cyan": "#7fd8d8", "white": "#ffffff",
}  # fmt: skip
PICTURE = Path(__file__).parent / "img" / "demo.svg"


def screen_of(*words: str) -> pyte.Screen:
    """Run a command on a terminal until it ends.

    Raises:
        SystemExit: It ended with another exit code than 0.
    """
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    child, terminal = pty.fork()
    if child == 0:
        os.environ |= {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
        from vodkit.cli.main import main  # here, not by exec: pictures share what is imported

        sys.argv = ["vodkit", *words]
        try:
            main()
        except SystemExit as left:
            sys.stdout.flush()
            os._exit(int(left.code or 0))
        os._exit(0)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    while True:
        try:
            new = os.read(terminal, 1 << 16)
        except OSError:  # the other side is closed
            break
        stream.feed(new)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        sys.exit("\n".join(line.rstrip() for line in screen.display).rstrip())
    return screen


def svg(screen: pyte.Screen, prompt: str, *, most_rows: int = ROWS) -> str:
    """The used rows of a screen, below the line that was typed."""
    rows = [[screen.buffer[y][x] for x in range(COLUMNS)] for y in range(most_rows)]
    while rows and not "".join(cell.data for cell in rows[-1]).strip():
        rows.pop()
    width = COLUMNS * CELL_PX[0] + 2 * MARGIN_PX
    height = (len(rows) + 1) * CELL_PX[1] + 2 * MARGIN_PX
    spans = [_text(0, 0, f"$ {prompt}", INK, bold=True)]
    for y, row in enumerate(rows, 1):
        x = 0
        for (colour, bold), cells in groupby(row, key=lambda cell: (cell.fg, cell.bold)):
            text = "".join(cell.data for cell in cells)
            if text.strip():
                spans.append(_text(x, y, text.rstrip(), COLOURS.get(colour, INK), bold=bold))
            x += len(text)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'font-family="monospace" font-size="13" xml:space="preserve">'
        f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>'
    )
    return "\n".join([head, *spans, "</svg>"]) + "\n"


def _text(x: int, y: int, text: str, colour: str, *, bold: bool) -> str:
    left, bottom = MARGIN_PX + x * CELL_PX[0], MARGIN_PX + (y + 0.75) * CELL_PX[1]
    letters = escape(text).replace(" ", "\u00a0")  # spaces in a row would become one
    weight = ' font-weight="bold"' if bold else ""
    length = f'textLength="{len(text) * CELL_PX[0]:g}" lengthAdjust="spacingAndGlyphs"'
    return f'<text x="{left:g}" y="{bottom:g}" fill="{colour}"{weight} {length}>{letters}</text>'


def main() -> None:
    """Run the demo and write its picture."""
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        drawn = svg(screen_of("demo"), "vodkit demo")
    PICTURE.write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main()
