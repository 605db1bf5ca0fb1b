"""A terminal for tests: a command runs in it, and what a user would see is read back.

The emulator is ``pyte``. Its screen is far higher than the window that the command is told of, so
that nothing scrolls away.
"""

import fcntl
import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self

import pyte
import pyte.modes
from wcwidth import wcswidth

HEIGHT = 800
WINDOW_ROWS = 40
PATIENCE_S = 100.0  # under the limit of a test
# Colours of xterm: (name as pyte has it, red, green, blue). ``default`` is the theme's own.
_PALETTE = {
    "black": (0, 0, 0), "red": (205, 0, 0), "green": (0, 205, 0), "brown": (205, 205, 0),
    "blue": (0, 0, 238), "magenta": (205, 0, 205), "cyan": (0, 205, 205), "white": (229, 229, 229),
    "brightblack": (127, 127, 127), "brightred": (255, 0, 0), "brightgreen": (0, 255, 0),
    "brightbrown": (255, 255, 0), "brightblue": (92, 92, 255), "brightmagenta": (255, 0, 255),
    "brightcyan": (0, 255, 255), "brightwhite": (255, 255, 255),
}  # fmt: skip
THEMES = {"dark": ((0, 0, 0), (229, 229, 229)), "light": ((255, 255, 255), (0, 0, 0))}


class Recording(pyte.Screen):
    """A screen that notes where the terminal itself had to begin a new line."""

    def __init__(self, columns: int, lines: int) -> None:
        super().__init__(columns, lines)
        self.broken_at: set[int] = set()
        """rows that go on in the next one though no line break was printed"""
        self.bells = 0

    def draw(self, data: str) -> None:
        """A text without control characters; a wide character takes two cells."""
        room = self.columns - self.cursor.x
        if wcswidth(data) <= room:
            super().draw(data)
            return
        for character in data:
            if self.cursor.x == self.columns and pyte.modes.DECAWM in self.mode:
                self.broken_at.add(self.cursor.y)
            super().draw(character)

    def erase_in_line(self, how: int = 0, private: bool = False) -> None:
        self.broken_at.discard(self.cursor.y)
        super().erase_in_line(how, private)

    def bell(self, *_: object) -> None:
        self.bells += 1


@dataclass(frozen=True)
class Seen:
    """What a command left on the screen."""

    words: tuple[str, ...]
    code: int
    raw: bytes
    """every byte that was written"""
    screen: Recording
    history: tuple[str, ...]
    """the screen at every read, as text; the last is what is left"""

    @property
    def lines(self) -> list[str]:
        return text_of(self.screen)

    @property
    def text(self) -> str:
        """The screen, with lines that the terminal broke joined."""
        joined = ""
        for row, line in enumerate(self.lines):
            joined += line if row in self.screen.broken_at else f"{line}\n"
        return joined

    @property
    def flat(self) -> str:
        """All words in a row, with one space between: what was said, at any width."""
        return " ".join(self.text.split())

    def words_broken(self) -> list[str]:
        """Words that the terminal broke though they fit into one of its lines."""
        found = []
        for row in sorted(self.screen.broken_at):
            if row - 1 in self.screen.broken_at:
                continue  # the middle of a longer one, which is told at its first row
            last, whole = row, self.lines[row].ljust(self.screen.columns)
            while last in self.screen.broken_at:
                last += 1
                whole += self.lines[last].ljust(self.screen.columns)
            place = self.screen.columns
            if " " in (whole[place - 1], whole[place]):
                continue
            word = whole[:place].split(" ")[-1] + whole[place:].split(" ")[0]
            if len(word) <= self.screen.columns:
                found.append(word)
        return found

    def hard_to_read(self, theme: str) -> list[str]:
        """Letters whose colour is too near to the background of a theme (contrast below 3)."""
        paper, ink = THEMES[theme]
        found = []
        for row, cells in self.screen.buffer.items():
            for column, cell in cells.items():
                if not cell.data.isalnum():
                    continue
                front, back = _colour(cell.fg, ink), _colour(cell.bg, paper)
                if cell.reverse:
                    front, back = back, front
                if _contrast(front, back) < 3:
                    found.append(f"{cell.data!r} in {cell.fg} on {cell.bg} at {row}, {column}")
        return found


def text_of(screen: pyte.Screen) -> list[str]:
    """The lines of a screen, without what is empty at their ends."""
    rows = range(max(screen.buffer, default=-1) + 1)
    lines = [_line(screen.buffer[row]) for row in rows]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _line(cells: Mapping[int, Any]) -> str:
    """A cell after a wide character is empty."""
    size = max(cells, default=-1) + 1
    return "".join(
        cells[column].data if column in cells else " " for column in range(size)
    ).rstrip()


def _colour(name: str, default: tuple[int, int, int]) -> tuple[int, int, int]:
    if name == "default":
        return default
    if name in _PALETTE:
        return _PALETTE[name]
    return int(name[:2], 16), int(name[2:4], 16), int(name[4:], 16)


def _contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    """The ratio of WCAG 2."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: tuple[int, int, int]) -> float:
    parts = [part / 255 for part in colour]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


class Terminals:
    """Starts commands, each in a new terminal."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._line, theirs = socket.socketpair()
        server = Path(__file__).with_name("fork_server.py")
        self._server = subprocess.Popen(
            [sys.executable, str(server), str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        theirs.close()
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.close()
        self._server.wait(10)

    def run(
        self,
        *words: str,
        folder: Path,
        columns: int = 80,
        encoding: str = "utf-8",
        environment: Mapping[str, str] | None = None,
        stop_when: Callable[[str], Any] | None = None,
        stop_reading: Path | None = None,
        patience_s: float = PATIENCE_S,
    ) -> Seen:
        """Run ``vodkit WORDS`` and wait for its end.

        ``stop_when``: press Ctrl-C as soon as the text on the screen makes it true.
        ``stop_reading``: press Ctrl-C when the command opens this pipe, which never gives a byte.
        """
        master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", WINDOW_ROWS, columns, 0, 0))
        request = {
            "words": words,
            "folder": str(folder),
            "encoding": encoding,
            "environment": self.environment(encoding, environment or {}),
        }
        socket.send_fds(self._line, [json.dumps(request).encode()], [slave])
        os.close(slave)
        pid = self._answer()["pid"]
        over = Event()
        if stop_reading is not None:
            Thread(target=_press_when_read, args=(stop_reading, master, over), daemon=True).start()
        try:
            raw, screen, history = _watch(master, pid, columns, encoding, stop_when, patience_s)
        finally:
            over.set()
            os.close(master)
        return Seen(tuple(words), self._answer()["code"], raw, screen, tuple(history))

    def environment(self, encoding: str, given: Mapping[str, str]) -> dict[str, str]:
        """That of a user's shell: nothing of the test runner's but what Python needs."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name in {"PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "TMPDIR"}
        }
        locale = "C.UTF-8" if encoding == "utf-8" else "C"
        plain = {"HOME": str(self._home), "TERM": "xterm-256color", "LC_ALL": locale}
        cache = {"VODKIT_CACHE": os.environ.get("VODKIT_CACHE", str(self._home / "cache"))}
        return {**kept, **plain, **cache, "OMP_NUM_THREADS": "1", **given}

    def _answer(self) -> dict[str, int]:
        while b"\n" not in self._rest:
            more = self._line.recv(4096)
            assert more, "the fork server ended"
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return json.loads(line)


def _press_when_read(pipe: Path, master: int, over: Event) -> None:
    """Opening a pipe for writing waits for its reader."""
    with pipe.open("wb"):
        os.write(master, b"\x03")
        over.wait(PATIENCE_S)  # a pipe that is closed would be an empty file


def _watch(
    master: int,
    pid: int,
    columns: int,
    encoding: str,
    stop_when: Callable[[str], Any] | None,
    patience_s: float,
) -> tuple[bytes, Recording, list[str]]:
    """Read until the terminal is closed."""
    screen = Recording(columns, HEIGHT)
    stream = pyte.ByteStream(screen)
    assert encoding in {"utf-8", "ascii"}
    raw, history, waited_s = b"", [], time.monotonic() + patience_s
    while True:
        left_s = waited_s - time.monotonic()
        ready, _, _ = select.select([master], [], [], max(left_s, 0))
        if not ready:
            os.killpg(pid, signal.SIGKILL)
            shown = "\n".join(text_of(screen))
            raise AssertionError(f"still running after {patience_s:.0f} s:\n{shown}")
        try:
            new = os.read(master, 1 << 16)
        except OSError:  # EIO: the other side is closed
            return raw, screen, history
        if not new:
            return raw, screen, history
        raw += new
        stream.feed(new)
        history.append("\n".join(text_of(screen)))
        if stop_when is not None and stop_when(history[-1]):
            os.write(master, b"\x03")
            stop_when = None


BAR = re.compile(r"(\d+)/(\d+|\?) (?:\w+ )?(\?|[\d.]+)/s (\?|[\d:]+)")
"""done, total, rate and time left, as every bar shows them"""


def bars_in(history: Sequence[str]) -> list[tuple[str, ...]]:
    """All states of bars that were seen."""
    return [found for text in history for found in BAR.findall(text)]
