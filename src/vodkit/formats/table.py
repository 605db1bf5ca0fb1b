"""The table of label formats: one line a format, and reading and writing by name."""

from pathlib import Path

from vodkit.errors import FormatError, InputError
from vodkit.formats import cocovid, mot, predictions
from vodkit.formats.base import Format, Reading, Writing
from vodkit.lookup import pick
from vodkit.records import Dataset

# The order is that of the asking: the more particular first.
FORMATS: dict[str, Format] = {
    "cocovid": cocovid,
    "predictions": predictions,
    "mot": mot,
}


def detect_format(path: Path) -> str:
    """The name of the first format that ``path`` looks like; FormatError if there is none."""
    if not path.exists():
        raise FormatError("there is no such file or folder", path=path)
    for name, module in FORMATS.items():
        if module.sniff(path):
            return name
    known = ", ".join(FORMATS)
    raise FormatError(f"looks like no known label format; name one of: {known}", path=path)


def read_dataset(
    path: str | Path,
    format: str = "auto",  # noqa: A002
    *,
    reading: Reading | None = None,
) -> Dataset:
    """The labels in a file or folder, in the form ``format`` (a key of FORMATS, or found out).

    Raises FormatError with the place of the first fault, unless ``reading.fault`` takes faults.
    """
    place = Path(path)
    name = detect_format(place) if format == "auto" else format
    module = pick(FORMATS, name, "label format")
    if not place.exists():
        raise FormatError("there is no such file or folder", path=place)
    try:
        return module.read(place, reading or Reading())
    except FormatError:
        raise
    except InputError as error:  # a record refused what the reader let through
        raise FormatError(str(error), path=place) from error


def write_dataset(
    dataset: Dataset,
    path: str | Path,
    format: str = "cocovid",  # noqa: A002
    *,
    writing: Writing | None = None,
) -> None:
    """Put ``dataset`` at ``path`` in the form ``format`` (a key of FORMATS)."""
    pick(FORMATS, format, "label format").write(dataset, Path(path), writing or Writing())
