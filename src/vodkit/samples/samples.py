"""Where the sample clips and their labels are."""

import shutil
from pathlib import Path

from vodkit.ground.errors import OutputError

_FOLDER = Path(__file__).parent

LABELS = _FOLDER / "plaza.json"
"""CocoVID labels of both clips: class ``person``, ids, visibility"""
CLIP_A = _FOLDER / "plaza_a.mp4"
"""130 frames, 768x576, 10 frames/s: split ``train``"""
CLIP_B = _FOLDER / "plaza_b.mp4"
"""120 frames of the same scene, 10.4 s of the recording before clip A: split ``test``"""


def copy_samples(folder: Path | str) -> tuple[Path, ...]:
    """Copy both clips and their labels into a folder, which is made if it is missing.

    Args:
        folder: Where to put ``plaza_a.mp4``, ``plaza_b.mp4`` and ``plaza.json``.

    Returns:
        The three files.

    Raises:
        OutputError: A file of one of these names exists with other content.
    """
    folder = Path(folder)
    targets = []
    for source in (CLIP_A, CLIP_B, LABELS):
        target = folder / source.name
        if target.exists() and target.read_bytes() != source.read_bytes():
            raise OutputError("exists and is another file; choose another folder", path=target)
        targets.append(target)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for source, target in zip((CLIP_A, CLIP_B, LABELS), targets, strict=True):
            shutil.copyfile(source, target)
    except OSError as error:
        raise OutputError(str(error.strerror or error), path=folder) from error
    return tuple(targets)
