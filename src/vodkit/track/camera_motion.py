"""How the camera moved between two frames, from corners that stand still in the world.

Sparse optical flow (Lucas-Kanade) on a small grey picture; corners on detected objects are left
out, and a robust fit (RANSAC) of shift, turn and zoom throws out what else moves by itself.
"""

from collections.abc import Mapping

import numpy as np

from vodkit.arrays import ByteArray, FloatArray
from vodkit.records import Frame

WIDTH_PX = 320
"""of the picture that is looked at"""
MIN_CORNERS = 12
"""fewer say nothing"""
STILL_PX = 0.15
"""a shift below this, in the small picture, is a camera at rest"""


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
        height, width = frame.image.shape[:2]
        if min(height, width) < 32:
            return None
        import cv2

        scale = min(1.0, WIDTH_PX / width)
        size = (max(32, round(width * scale)), max(32, round(height * scale)))
        small = cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA)
        before, self.grey = self.grey, cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        if before.shape != self.grey.shape:
            return None
        per_px = np.array([size[0] / frame.width_px, size[1] / frame.height_px])
        affine = _fit(before, self.grey, boxes_xyxy.reshape(-1, 2, 2) * per_px)
        if affine is None:
            return None
        affine[:, 2] /= per_px  # the small picture has the same shape, so the turn stays as it is
        return affine

    def forget(self) -> None:
        """The next frame belongs to another shot."""
        self.grey = np.zeros((0, 0), np.uint8)

    def state_dict(self) -> dict[str, np.ndarray]:
        """The previous frame."""
        return {"camera_grey": self.grey.copy()}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on where ``state_dict`` was taken."""
        self.grey = np.array(state["camera_grey"], np.uint8)


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
