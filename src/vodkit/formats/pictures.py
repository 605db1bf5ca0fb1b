"""Still pictures as videos of one frame, folders of numbered pictures, and classes by name."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vodkit.formats.base import PICTURE_ENDINGS, Reading, class_names, require_bearable
from vodkit.formats.rows import Rows
from vodkit.ground.errors import FormatError
from vodkit.ground.paths import files_in, natural_key, there
from vodkit.ground.records import LabelledVideo, VideoInfo

NO_PICTURE = "box of a frame without a picture"
"""reason of objects in frames that the numbers of a folder's pictures leave out"""
_ORIENTATION, _QUARTER_TURNS = 0x0112, (5, 6, 7, 8)
_TIFF_WIDTH, _TIFF_HEIGHT = 0x0100, 0x0101


def picture_size(path: Path) -> tuple[int, int] | None:
    """Width and height of a picture as it is decoded: upright; None where there is no file."""
    found = picture_head(path)
    return None if found is None else found[0]


def picture_head(path: Path) -> tuple[tuple[int, int], bool] | None:
    """Width and height of a picture as it is decoded, and whether EXIF turns or mirrors it.

    Only the header is read. Of TIFF, Pillow from 11 on gives the size upright, before as stored:
    the size is taken from the tags.
    """
    from PIL import Image, UnidentifiedImageError

    path = there(path)
    if not path.is_file():
        return None
    try:
        with Image.open(path) as picture:
            tags = picture.getexif()
            told = tags.get(_ORIENTATION)
            width, height = picture.size
            if picture.format == "TIFF":
                width, height = tags[_TIFF_WIDTH], tags[_TIFF_HEIGHT]
            turned = told in _QUARTER_TURNS
            return ((height, width) if turned else (width, height)), told in range(2, 9)
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError) as error:
        raise FormatError(f"not a picture: {error}", path=path) from error


def picture_files(folder: Path) -> list[str]:
    """Names of the picture files in a folder, in natural order; none where there is no folder."""
    names = [file.name for file in files_in(folder, *PICTURE_ENDINGS)]
    return sorted(names, key=natural_key)


@dataclass(frozen=True)
class Places:
    """Which picture of a folder shows each frame of a label file."""

    by_number: Mapping[int, int] | None = None
    """frame of the labels -> place among the pictures; None: they are the same"""

    def of(self, frame: int) -> int | None:
        """The place of a frame; None where its picture is missing."""
        return frame if self.by_number is None else self.by_number.get(frame)


IN_ORDER = Places()


def places_of(
    files: Sequence[str], frames: Iterable[int], reading: Reading, path: Path, *, first: int
) -> Places:
    """Find the pictures of labelled frames by the numbers in their names.

    Pictures may be missing (KITTI's sequence 0001 lacks four), sampled, or numbered from another
    start; the i-th picture is then not frame i.

    Args:
        files: Names of all pictures of a folder, in order.
        frames: Labelled frames, counted from 0.
        reading: Takes a note where numbers decide.
        path: The label file, for errors.
        first: The number that the format gives the first picture: 0 or 1.

    Raises:
        FormatError: The labels fit both the numbers and the order of the pictures.
    """
    found = [re.search(r"(\d{1,12})$", Path(name).stem, flags=re.ASCII) for name in files]
    numbers = [int(match[1]) for match in found if match]
    usual = list(range(first, first + len(files)))
    if not files or len(numbers) < len(files) or len(set(numbers)) < len(numbers):
        return IN_ORDER
    if numbers == usual:
        return IN_ORDER
    place = {number - first: index for index, number in enumerate(numbers)}
    wanted = set(frames)
    fits_order = all(0 <= frame < len(files) for frame in wanted)
    lost = sorted(frame for frame in wanted if frame not in place)
    what = f"the pictures {files[0]} to {files[-1]} are {len(files)}"
    continuous = numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    if fits_order and lost and continuous:  # only their order fits all labels
        reading.tally.note(f"{path.name}: {what}; frame {first} is taken for {files[0]}")
        return IN_ORDER
    if fits_order and wanted and (lost or continuous):
        number = (lost or sorted(wanted))[0] + first
        message = (
            f"{what}: frame {number} may be the picture of that number or the one in that place; "
            f"rename the pictures to {first}, {first + 1}, ..., without gaps, or the frames"
        )
        raise FormatError(message, path=path)
    if continuous and len(lost) == len(wanted):
        return IN_ORDER
    reading.tally.note(f"{path.name}: {what}; frames are found by these numbers")
    return Places(place)


def still_info(source: str, size_px: tuple[int, int], path: Path) -> VideoInfo:
    """What is known of a still picture as a video."""
    if min(size_px) <= 0:
        raise FormatError(f"size of {source!r} is {size_px}; allowed: above 0", path=path)
    require_bearable(path, size_px=size_px)
    return VideoInfo(
        path=source, width_px=size_px[0], height_px=size_px[1], rate=Fraction(1), num_frames=1
    )


def still(source: str, size_px: tuple[int, int], rows: Rows, *, split: str = "") -> LabelledVideo:
    """A still picture as a labelled video of one frame."""
    return rows.video(still_info(source, size_px, rows.path), split=split)


def class_table(names: Iterable[str], reading: Reading) -> tuple[str, ...]:
    """Class names in the order given, or sorted; of files that only have names."""
    return reading.classes or class_names(sorted(set(names)), Path("labels"))


def class_number(name: str, classes: tuple[str, ...]) -> int:
    """The label of a class name; beyond the last where it is unknown, which ``Rows`` refuses."""
    return classes.index(name) if name in classes else len(classes)
