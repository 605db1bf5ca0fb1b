"""How the camera moved between two frames, from corners that stand still in the world.

Sparse optical flow (Lucas-Kanade) on a small grey picture; corners on detected objects are left
out, and a robust fit (RANSAC) of shift, turn and zoom throws out what else moves by itself.
"""

from collections.abc import Mapping

import numpy as np

from vodkit.ground.arrays import ByteArray, FloatArray
from vodkit.ground.records import Frame

SIDE_PX = 320
"""the longer one, of the picture that is looked at"""
MIN_CORNERS = 12
"""fewer say nothing"""
STILL_PX = 0.15
"""a shift below this, in the small picture, is a camera at rest"""
_PARTS = (8, 6)
"""of the small picture, across and down, whose rim tells whether the camera is at rest"""
_MIN_STILL = 6
"""parts of the rim, and a third of those with anything on them, must be as they were"""
_MIN_SLOPE = 2.0
"""mean slope, in grey levels per px, of a part that would show a shift"""


class CameraMotion:
    """Remembers the previous frame of one video."""

    def __init__(self) -> None:
        """Before the first frame."""
        self.grey: ByteArray = np.zeros((0, 0), np.uint8)

    def step(self, frame: Frame, boxes_xyxy: FloatArray) -> FloatArray | None:
        """The affine (2, 3) that takes source pixels of the last frame to this one; None: at rest.

        ``boxes_xyxy`` (N, 4): objects that may move by themselves. Frames without pixels, and
        pictures without enough corners, give None.
        """
        before = self.grey
        if not self.look(frame):
            return None
        if before.shape != self.grey.shape or _is_at_rest(before, self.grey):
            return None
        height, width = self.grey.shape
        per_px = np.array([width / frame.width_px, height / frame.height_px])
        affine = _fit(before, self.grey, boxes_xyxy.reshape(-1, 2, 2) * per_px)
        if affine is None:
            return None
        affine[:, 2] /= per_px  # the small picture has the same shape, so the turn stays as it is
        return affine

    def look(self, frame: Frame) -> bool:
        """Remember a frame whose own motion nobody needs to know; False: it has no pixels."""
        height, width = frame.image.shape[:2]
        if min(height, width) < 32:
            return False
        import cv2

        scale = min(1.0, SIDE_PX / max(width, height))
        size = (max(32, round(width * scale)), max(32, round(height * scale)))
        grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
        # Means over areas cost ten times as much, and matter only where pixels would be skipped.
        how = cv2.INTER_AREA if scale <= 0.5 else cv2.INTER_LINEAR
        self.grey = np.asarray(cv2.resize(grey, size, interpolation=how), np.uint8)
        return True

    def forget(self) -> None:
        """The next frame belongs to another shot."""
        self.grey = np.zeros((0, 0), np.uint8)

    def state_dict(self) -> dict[str, np.ndarray]:
        """The previous frame."""
        return {"camera_grey": self.grey.copy()}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on where ``state_dict`` was taken."""
        self.grey = np.array(state["camera_grey"], np.uint8)


def _is_at_rest(before: ByteArray, after: ByteArray) -> bool:
    """Whether enough of the rim changed less than a shift of STILL_PX would change it.

    Every move of a camera, a zoom and a turn too, moves the rim. A change is measured against the
    picture's slope, so flat parts say nothing; parts with passing objects are outvoted.
    """
    import cv2

    # Parts of whole pixels: the mean of those takes an eighth of the time.
    height, width = (
        side - side % parts for side, parts in zip(before.shape, _PARTS[::-1], strict=True)
    )
    before, after = before[:height, :width], after[:height, :width]
    step = cv2.subtract(after, before, dtype=cv2.CV_32F)
    across, down = cv2.spatialGradient(before)  # Sobel: eight times the slope
    steep = cv2.add(
        cv2.multiply(across, across, dtype=cv2.CV_32F), cv2.multiply(down, down, dtype=cv2.CV_32F)
    )
    changed, slope = (
        np.asarray(cv2.resize(values, _PARTS, interpolation=cv2.INTER_AREA))
        for values in (step * step, steep / 128)  # per axis
    )
    rim = np.ones(changed.shape, bool)
    rim[1:-1, 1:-1] = False
    telling = rim & (slope > _MIN_SLOPE**2)
    still = telling & (changed <= STILL_PX**2 * slope)
    return bool(still.sum() >= max(_MIN_STILL, telling.sum() / 3))


def _fit(before: ByteArray, after: ByteArray, corners: FloatArray) -> FloatArray | None:
    """The affine in small pixels; ``corners`` (N, 2, 2) of boxes are not looked at."""
    import cv2

    mask = np.full(before.shape, 255, np.uint8)
    limit = np.array(before.shape[::-1])
    for (x1, y1), (x2, y2) in np.clip(corners, 0, limit).astype(int).tolist():
        mask[y1 : y2 + 1, x1 : x2 + 1] = 0
    points = cv2.goodFeaturesToTrack(
        before, maxCorners=150, qualityLevel=0.02, minDistance=6, mask=mask, blockSize=3
    )
    if points is None or len(points) < MIN_CORNERS:
        return None
    moved, found, _ = cv2.calcOpticalFlowPyrLK(
        before, after, points, np.empty_like(points), winSize=(13, 13), maxLevel=3
    )
    good = found[:, 0] == 1
    if good.sum() < MIN_CORNERS:
        return None
    affine, inliers = cv2.estimateAffinePartial2D(
        points[good], moved[good], method=cv2.RANSAC, ransacReprojThreshold=1.0
    )
    if affine is None or inliers.sum() < max(MIN_CORNERS, 0.4 * good.sum()):
        return None
    here = points[good].reshape(-1, 2)
    shift = np.abs(here @ affine[:, :2].T + affine[:, 2] - here).max()
    return None if shift < STILL_PX else np.asarray(affine, np.float64)
