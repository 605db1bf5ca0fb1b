"""What every detector keeps unless it is asked otherwise. Trackers use low-score detections."""

import re

from vodkit.ground.errors import SettingsError

SCORE_THRESHOLD = 0.05
"""detections below are not kept"""
CANDIDATE_SCORE = 0.01
"""lowest score of detections that temporal links take up"""
MAX_DETECTIONS = 300
"""of a frame, the best; a frame with more is marked (``Detections.truncated``)"""
BATCH_SIZE = 8
"""frames given to a network at once"""

HEAD_SUFFIXES = (".safetensors", ".onnx", ".xml")
"""of the files of temporal heads: trained, and exported"""
NETWORK, AUTO = "network", "auto"
"""input size: the network's own; by the objects on sample frames"""


def check_size(size: str) -> None:
    """SettingsError for an input size that is neither a word nor one or two numbers."""
    if size not in {NETWORK, AUTO} and not re.fullmatch(r"[1-9]\d{0,4}(x[1-9]\d{0,4})?", size):
        allowed = f"{NETWORK}, {AUTO}, pixels as 640, or width x height as 640x384"
        raise SettingsError(f"size is {size!r}; allowed: {allowed}")


PROMPT_MODEL = "owlv2-base"
"""what prompts run with, unless another model is named"""
PROMPTED = {"owlv2": 0.1, "grounding-dino": 0.25}
"""score thresholds of models that take prompts, by the begin of their names, as published"""


def prompt_threshold(model: str) -> float:
    """The score below which a model's detections for prompts are dropped.

    >>> prompt_threshold("grounding-dino-tiny"), prompt_threshold("my-folder")
    (0.25, 0.1)
    """
    return next((value for begin, value in PROMPTED.items() if begin in model.lower()), 0.1)


def check_grid(tiles: str) -> None:
    """SettingsError for a grid of tiles that is neither auto nor columns x rows."""
    if tiles != "auto" and not re.fullmatch(r"[1-9]\d?x[1-9]\d?", tiles):
        raise SettingsError(f"tiles is {tiles!r}; allowed: auto, or columns x rows as 3x2")
