"""The camera's motion from frame to frame, as a text file beside a run's detections.

A line a frame: the frame's index (from 0), then the affine a11 a12 a13 a21 a22 a23 that takes
source pixels of the frame before to this one. In frames without a line the camera is at rest, or
its motion is not known. Estimates of other programs can be put there, too.
"""

import math
from pathlib import Path

import numpy as np

from vodkit.formats.jsonfile import read_text
from vodkit.ground.arrays import FloatArray
from vodkit.ground.errors import FormatError
from vodkit.ground.runs import CAMERA_MOTION

_NUMBERS = 7


def motion_beside(predictions: Path) -> dict[int, FloatArray]:
    """The camera's motion (2, 3) by frame index of the run of a predictions file; empty: none."""
    path = predictions.with_name(CAMERA_MOTION)
    return read_motion(path) if path.exists() else {}


def read_motion(path: Path) -> dict[int, FloatArray]:
    """The affines (2, 3) of a file by frame index; FormatError names the line of a fault."""
    found: dict[int, FloatArray] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        try:
            index, values = int(words[0]), [float(word) for word in words[1:]]
        except ValueError as error:
            raise FormatError(f"not a number: {error}", path=path, line=number) from error
        if len(words) != _NUMBERS or index < 0 or not all(map(math.isfinite, values)):
            message = f"has {len(words)} columns; allowed: a frame index and six finite numbers"
            raise FormatError(message, path=path, line=number)
        if index in found:
            raise FormatError(f"frame {index} has a second line", path=path, line=number)
        found[index] = np.array(values).reshape(2, 3)
    return found


def line_of(index: int, affine: FloatArray) -> str:
    r"""The line of a frame.

    >>> line_of(7, np.eye(3)[:2])
    '7 1.0 0.0 0.0 0.0 1.0 0.0\n'
    """
    return f"{index} " + " ".join(map(repr, np.asarray(affine).ravel().tolist())) + "\n"
