"""Where the sample clips and their labels are."""

from pathlib import Path

_FOLDER = Path(__file__).parent

LABELS = _FOLDER / "plaza.json"
"""CocoVID labels of both clips: class ``person``, ids, visibility"""
CLIP_A = _FOLDER / "plaza_a.mp4"
"""130 frames, 768x576, 10 frames/s: split ``train``"""
CLIP_B = _FOLDER / "plaza_b.mp4"
"""120 frames of the same scene, 10.4 s of the recording before clip A: split ``test``"""
