"""Labels for pictures of another size: scaled where that is certain, else refused."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vodkit.ground.errors import InputError
from vodkit.ground.records import LabelledVideo

_FEW = 20  # boxes: fewer may by chance all lie in a corner of their picture
_STRAY = 0.01  # share of boxes with their centre outside of the picture, as trackers leave them


@dataclass(frozen=True)
class Sized:
    """A labelled video, and the size (width, height) of its pictures."""

    video: LabelledVideo
    seen_px: tuple[int, int]

    @property
    def declared_px(self) -> tuple[int, int]:
        """The size that the labels declare."""
        return self.video.info.width_px, self.video.info.height_px


def scaling_of(videos: Sequence[Sized]) -> tuple[str, ...]:
    """Which labels have to be scaled to their pictures, one note for each pair of sizes.

    Args:
        videos: labelled videos with the sizes of their pictures.

    Returns:
        Notes as ``labels of a.mp4 are for 384x288 px; scaled to its 768x576``.

    Raises:
        InputError: the boxes are not of the declared size: they were made on a picture that is
            turned, they lie outside of it, or they may be of either size.
    """
    notes = []
    pairs = dict.fromkeys((one.declared_px, one.seen_px) for one in videos)
    for declared, seen in pairs:
        if declared == seen:
            continue
        same = [one for one in videos if (one.declared_px, one.seen_px) == (declared, seen)]
        names = ", ".join(one.video.source for one in same[:3])
        names += f" and {len(same) - 3} more" * (len(same) > 3)
        there, here = f"{declared[0]}x{declared[1]}", f"{seen[0]}x{seen[1]}"
        what = f"labels of {names} are for pictures of {there} px, but these are {here}"
        why = _why_not(_boxes(same), declared, seen)
        if why:
            raise InputError(f"{what}, and {why}; set the right size in the label file")
        notes.append(f"labels of {names} are for {there} px; scaled to the pictures' {here}")
    return tuple(notes)


def _boxes(videos: Sequence[Sized]) -> np.ndarray:
    tables = [one.video.tracks for one in videos]
    found = [table.boxes_xyxy for table in tables if table is not None and len(table)]
    return np.concatenate(found) if found else np.empty((0, 4))


def _why_not(boxes: np.ndarray, declared: tuple[int, int], seen: tuple[int, int]) -> str:
    """Why boxes may not be scaled from one size to the other; empty: they may."""
    if declared[::-1] == seen:
        return (
            "were made on a picture turned by 90 degrees, as its file stores it, maybe (EXIF "
            "orientation turns it upright)"
        )
    if not len(boxes):
        return ""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    outside = int((centres > np.array(declared)).any(axis=1).sum())
    if outside > _STRAY * len(boxes):
        return f"{outside} of {len(boxes)} boxes lie outside of {declared[0]}x{declared[1]}"
    smaller = seen[0] < declared[0] and seen[1] < declared[1]
    if smaller and len(boxes) >= _FEW and (boxes[:, 2:] <= np.array(seen)).all():
        return f"all {len(boxes)} boxes fit {seen[0]}x{seen[1]}, so either size may be theirs"
    return ""
