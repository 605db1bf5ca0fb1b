"""XML files read safely: no document types, no entities, nothing fetched, every element its line.

Python's ElementTree forgets line numbers and expands entities; the parser underneath it (expat)
tells where it is and lets both be refused.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from vodkit.formats.jsonfile import LARGEST, read_bytes, shared
from vodkit.formats.textfile import number_of
from vodkit.ground.errors import FormatError

DEEPEST = 64
"""levels of nesting; no label file has ten"""


@dataclass
class Element:
    """One element with its attributes, text, children and line."""

    name: str
    attributes: dict[str, str]
    path: Path
    line: int
    children: list["Element"] = field(default_factory=list)
    text: str = ""

    def fault(self, message: str) -> FormatError:
        """The error that something is wrong with this element."""
        return FormatError(f"<{self.name}>: {message}", path=self.path, line=self.line)

    def walk(self) -> Iterator["Element"]:
        """The element itself and all below it, in the order of the file."""
        yield self
        for child in self.children:
            yield from child.walk()

    def all(self, name: str) -> Iterator["Element"]:
        """The children called ``name``."""
        return (child for child in self.children if child.name == name)

    def find(self, *names: str) -> "Element | None":
        """The first element at the end of a way of names; None where it breaks off."""
        found: Element | None = self
        for name in names:
            found = next(found.all(name), None) if found is not None else None
        return found

    def need(self, *names: str) -> "Element":
        """The first element at the end of a way of names; a missing one is a fault."""
        found = self.find(*names)
        if found is None:
            raise self.fault(f"has no <{'><'.join(names)}>")
        return found

    def words(self, key: str, default: str | None = None) -> str:
        """An attribute as text."""
        if key in self.attributes:
            return self.attributes[key]
        if default is None:
            raise self.fault(f"has no attribute {key!r}; there is: {', '.join(self.attributes)}")
        return default

    def real(self, key: str, default: float | None = None) -> float:
        """An attribute as a number."""
        if default is not None and key not in self.attributes:
            return default
        return self._number(self.words(key), key)

    def whole(self, key: str, default: int | None = None) -> int:
        """An attribute as a whole number."""
        return self._whole(self.real(key, default), key)

    def text_real(self) -> float:
        """The text as a number."""
        return self._number(self.text, "text")

    def text_whole(self) -> int:
        """The text as a whole number."""
        return self._whole(self.text_real(), "text")

    def _number(self, text: str, what: str) -> float:
        try:
            return number_of(text)
        except ValueError as error:
            raise self.fault(f"{what} is {text[:40]!r}; allowed: a number") from error

    def _whole(self, number: float, what: str) -> int:
        if not abs(number) < LARGEST or number != int(number):
            raise self.fault(f"{what} is {number}; allowed: a whole number")
        return int(number)


class _Builder:
    """Builds the tree while expat reads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stack: list[Element] = []
        self.root: Element | None = None
        self.texts: list[list[str]] = []
        """the pieces of text of each open element: adding to a string would cost their square"""
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.EntityDeclHandler = self._refuse

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        element = Element(name, attributes, self.path, self.parser.CurrentLineNumber)
        if len(self.stack) >= DEEPEST:
            raise element.fault(f"nested deeper than {DEEPEST}")
        if self.stack:
            self.stack[-1].children.append(element)
        else:
            self.root = element
        self.stack.append(element)
        self.texts.append([])

    def _end(self, name: str) -> None:
        del name
        element = self.stack.pop()
        element.text = "".join(self.texts.pop()).strip()

    def _text(self, text: str) -> None:
        self.texts[-1].append(text)

    def _refuse(self, *declared: object) -> None:
        line = self.parser.CurrentLineNumber
        message = f"document types and entities are not allowed: {declared[0]!r}"
        raise FormatError(message, path=self.path, line=line)


def read_xml(path: Path) -> Element:
    """The root element of an XML file; FormatError names the line where it breaks."""
    return shared(path, _read_xml)


def _read_xml(path: Path) -> Element:
    content = read_bytes(path)
    builder = _Builder(path)
    try:
        builder.parser.Parse(content, True)  # noqa: FBT003 - expat's own signature
    except expat.ExpatError as error:
        message = f"not XML: {expat.errors.messages[error.code]} (column {error.offset})"
        raise FormatError(message, path=path, line=error.lineno) from error
    except (ValueError, LookupError, UnicodeError) as error:  # unknown encodings
        raise FormatError(f"not XML that can be read: {error}", path=path) from error
    assert builder.root is not None
    return builder.root


def tag(name: str, text: object = "", /, **attributes: object) -> str:
    """One element as text, with everything escaped.

    >>> tag("name", "a<b", id=1)
    '<name id="1">a&lt;b</name>'
    """
    inside = "".join(f" {key}={quoteattr(str(value))}" for key, value in attributes.items())
    return f"<{name}{inside}>{escape(str(text))}</{name}>"
