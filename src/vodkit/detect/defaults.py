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


def check_grid(tiles: str) -> None:
    """SettingsError for a grid of tiles that is neither auto nor columns x rows."""
    if tiles != "auto" and not re.fullmatch(r"[1-9]\d?x[1-9]\d?", tiles):
        raise SettingsError(f"tiles is {tiles!r}; allowed: auto, or columns x rows as 3x2")
