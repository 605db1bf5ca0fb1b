"""Clips whose pixels state their frame index, and a running review page, for its tests."""

import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from urllib.parse import urlsplit

import av
import numpy as np

from vodkit.review.server import Serving

FRAMES = 60
BITS = 8
WIDTH, HEIGHT = 128, 96


def stripes(index: int) -> np.ndarray:
    """A picture that shows its index as black and white stripes, the highest bit first."""
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    for bit in range(BITS):
        value = 255 if index >> (BITS - 1 - bit) & 1 else 0
        image[16:80, bit * 16 : (bit + 1) * 16] = value
    return image


def write_clip(path: Path, kind: str) -> Path:
    """A clip of 60 frames: ``bframes``, ``vfr``, ``rotated`` or ``mjpeg``."""
    codec = "mjpeg" if kind == "mjpeg" else "libx264"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        turned = kind == "rotated"
        stream.width, stream.height = (HEIGHT, WIDTH) if turned else (WIDTH, HEIGHT)
        stream.pix_fmt = "yuvj420p" if kind == "mjpeg" else "yuv420p"
        if codec == "libx264":
            stream.options = {"bf": "3", "g": "24", "b_strategy": "0", "crf": "12"}
        stream.codec_context.time_base = Fraction(1, 1000)
        clock = np.cumsum([0, *(40 if kind != "vfr" else 10 + 60 * (i % 3) for i in range(FRAMES))])
        for index in range(FRAMES):
            image = stripes(index)
            image = np.ascontiguousarray(np.rot90(image, 1)) if turned else image
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = int(clock[index]), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    if turned:
        _turn(path)
    return path


def _turn(path: Path) -> None:
    """Write a rotation by 90 degrees into an mp4's track header."""
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 40
    one = 1 << 16
    content[place : place + 36] = struct.pack(
        ">9i", 0, one, 0, -one, 0, 0, HEIGHT * one, 0, 1 << 30
    )
    path.write_bytes(content)


KINDS = {"bframes": "mp4", "vfr": "mp4", "rotated": "mp4", "mjpeg": "avi"}


@dataclass(frozen=True)
class Served:
    """A running page."""

    address: str
    page: Serving
    folder: Path

    @property
    def host(self) -> str:
        return urlsplit(self.address).netloc

    @property
    def token(self) -> str:
        return urlsplit(self.address).fragment.removeprefix("token=")
