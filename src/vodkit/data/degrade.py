"""Degraded copies of frames: what cameras, exposure and things in the way do to a picture."""

from collections.abc import Callable, Iterable

import cv2
import numpy as np

from vodkit.ground.arrays import ByteArray


def degraded(image: ByteArray, rng: np.random.Generator) -> ByteArray:
    """A copy (H, W, 3) uint8 with one or two faults: motion blur, defocus, noise, patches."""
    faults: list[Callable[[ByteArray, np.random.Generator], ByteArray]]
    faults = [_motion_blur, _motion_blur, _defocus, _noise, _patches]
    chosen: Iterable[int] = rng.choice(len(faults), size=int(rng.integers(1, 3)), replace=False)
    for one in sorted(chosen):
        image = faults[one](image, rng)
    return image


def _motion_blur(image: ByteArray, rng: np.random.Generator) -> ByteArray:
    """Up to 4 % of the width long, in any direction."""
    length = max(int(image.shape[1] * rng.uniform(0.008, 0.04)) | 1, 3)
    angle, half = rng.uniform(0, np.pi), (length - 1) / 2
    kernel = np.zeros((length, length), np.float32)
    for step in np.linspace(-half, half, 4 * length):
        kernel[round(half + step * np.sin(angle)), round(half + step * np.cos(angle))] = 1
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()))


def _defocus(image: ByteArray, rng: np.random.Generator) -> ByteArray:
    sigma = image.shape[1] * rng.uniform(0.002, 0.008)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma))


def _noise(image: ByteArray, rng: np.random.Generator) -> ByteArray:
    noisy = image + rng.normal(0, rng.uniform(4, 20), image.shape)
    return np.asarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))


def _patches(image: ByteArray, rng: np.random.Generator) -> ByteArray:
    """Rectangles of pixels from elsewhere in the picture, as things that stand in the way."""
    image = image.copy()
    height, width = image.shape[:2]
    for _ in range(int(rng.integers(1, 6))):
        h, w = (max(int(side * rng.uniform(0.05, 0.3)), 1) for side in (height, width))
        (y, x), (v, u) = (
            (int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1)))
            for _ in range(2)
        )
        image[y : y + h, x : x + w] = image[v : v + h, u : u + w].copy()
    return image
