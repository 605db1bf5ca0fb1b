"""Still pictures as videos of one frame, and the classes of formats that only have names."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

from vodkit.formats.base import PICTURE_ENDINGS, Reading, Rows, class_names, require_bearable
from vodkit.ground.errors import FormatError
from vodkit.ground.records import LabelledVideo, VideoInfo


def picture_size(path: Path) -> tuple[int, int] | None:
    """Width and height of a picture file from its header; None where there is none."""
    from PIL import Image, UnidentifiedImageError

    if not path.is_file():
        return None
    try:
        with Image.open(path) as picture:
            return picture.size
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError) as error:
        raise FormatError(f"not a picture: {error}", path=path) from error


def picture_files(folder: Path) -> list[str]:
    """Names of the picture files in a folder, sorted; none where there is no folder."""
    if not folder.is_dir():
        return []
    return sorted(file.name for file in folder.iterdir() if file.suffix.lower() in PICTURE_ENDINGS)


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
    info = still_info(source, size_px, rows.path)
    return LabelledVideo(source=source, info=info, tracks=rows.table(info.rate), split=split)


def class_table(names: Iterable[str], reading: Reading) -> tuple[str, ...]:
    """Class names in the order given, or sorted; of files that only have names."""
    return reading.classes or class_names(sorted(set(names)), Path("labels"))


def class_number(name: str, classes: tuple[str, ...]) -> int:
    """The label of a class name; beyond the last where it is unknown, which ``Rows`` refuses."""
    return classes.index(name) if name in classes else len(classes)
