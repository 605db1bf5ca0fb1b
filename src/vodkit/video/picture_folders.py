"""What a folder of pictures is: the frames of a film, or still pictures, each for itself.

It is decided by what lies beside the pictures, by their names, their sizes and, last, by how much
neighbours resemble each other: frames of one film share most of what they show.
"""

import re
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vodkit.ground.errors import VideoError
from vodkit.video.limits import LIMITS
from vodkit.video.pictures import declared_size, pictures_in, rate_beside

ALIKE = 0.2
"""correlation of neighbours, in the median, above which pictures are a film

Measured in docs/benchmarks/robustness.md: films at their own rate have 0.60 to 1.00, read once in
5 or 15 seconds 0.73 or more; nine pairs of BCCD or raccoon, drawn at random, at most 0.13.
"""
_PAIRS = 9
_SIDE_PX = 64
_FLAT = 2.0  # grey values by which a picture varies at least; below, it is noise that would decide
_PROBED = 200  # pictures whose sizes are read
_SIZES = 3  # of so many sizes no film is: a camera that is set anew has two
_HEADER = 1 << 16


@dataclass(frozen=True, kw_only=True)
class PictureFolder:
    """What a folder of pictures is taken for, and why."""

    are_stills: bool = False
    why: str
    """the evidence, as a clause"""
    is_declared: bool = False
    """whether a file beside the pictures, or the folder's name, states it"""


def judge(folder: Path) -> PictureFolder:
    """Decide whether the pictures of a folder are a film or still pictures.

    Args:
        folder: of many pictures, the headers of 200 are read, and 18 are decoded.

    Raises:
        VideoError: a seqinfo.ini that is damaged.
    """
    if rate_beside(folder) is not None:
        return PictureFolder(why="seqinfo.ini gives a rate", is_declared=True)
    if folder.absolute().name.lower() == "img1":
        return PictureFolder(why="MOTChallenge names films img1", is_declared=True)
    paths = pictures_in(folder)
    if len(paths) < 2:
        return PictureFolder(why="one picture", is_declared=True)
    patterns = Counter(re.sub(r"\d+", "#", path.stem) for path in paths)
    if 2 * patterns.most_common(1)[0][1] <= len(paths):
        return PictureFolder(are_stills=True, why="their names have no common pattern")
    sizes = {_size_of(path) for path in paths[:: -(-len(paths) // _PROBED)]} - {None}
    if len(sizes) >= _SIZES:
        return PictureFolder(are_stills=True, why=f"they have {len(sizes)} sizes")
    alike = likeness(paths)
    if alike is None:
        return PictureFolder(why="their names are numbered")
    share = f"neighbours resemble each other by {max(alike, 0.0):.2f}"
    return PictureFolder(are_stills=alike < ALIKE, why=f"{share}, films by over {ALIKE:g}")


def likeness(paths: Sequence[Path]) -> float | None:
    """The median correlation (-1 to 1) of pictures with those that follow them.

    Args:
        paths: in the order of the frames; nine pairs, evenly spread, are compared.

    Returns:
        None where pictures are too flat, or too damaged, to be compared.
    """
    starts = np.unique(np.linspace(0, len(paths) - 2, _PAIRS).astype(int))
    pairs = [(_thumbnail(paths[k]), _thumbnail(paths[k + 1])) for k in starts]
    found = [float((a * b).mean()) for a, b in pairs if a is not None and b is not None]
    return float(np.median(found)) if found else None


def _thumbnail(path: Path) -> np.ndarray | None:
    """A small grey picture (64, 64) f32 of mean square 1, without its broad light and dark."""
    try:
        data = np.fromfile(path, np.uint8)
        size_px = declared_size(data[:_HEADER].tobytes())
        if size_px is not None:
            LIMITS.check_size(size_px, path=path)
        grey = cv2.imdecode(data, cv2.IMREAD_REDUCED_GRAYSCALE_4) if len(data) else None
    except (OSError, cv2.error, VideoError):
        return None
    if grey is None:
        return None
    small = cv2.resize(grey, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA).astype(np.float32)
    small -= cv2.GaussianBlur(small, (0, 0), _SIDE_PX / 8)
    spread = float(np.sqrt((small * small).mean()))
    return None if spread < _FLAT else small / spread


def _size_of(path: Path) -> tuple[int, int] | None:
    """Width and height by the header; None where it does not tell."""
    from PIL import Image  # slow to import

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes: no pixel is read
            with Image.open(path) as opened:
                return opened.size
    except Exception:  # noqa: BLE001 - damaged headers end in errors of many kinds
        return None
