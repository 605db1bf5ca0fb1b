"""Small videos with exactly known content, encoded for real."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vodkit.ground.records import LabelledVideo, TrackTable, VideoInfo

WIDTH, HEIGHT = 160, 120
RATE = Fraction(25)
Make = Callable[..., LabelledVideo]


def paint(boxes: np.ndarray, seed: int) -> np.ndarray:
    """A picture with a background of its own (by seed) and textured boxes."""
    rng = np.random.default_rng(seed)
    small = rng.uniform(60, 120, (12, 16))
    image = np.kron(small, np.ones((10, 10)))
    for number, (x1, y1, x2, y2) in enumerate(boxes.round().astype(int)):
        height, width = y2 - y1, x2 - x1
        texture = np.indices((height, width)).sum(axis=0) // 4 % 2
        image[y1:y2, x1:x2] = 180 + 60 * texture - 170 * (number % 2)
    return np.repeat(image[..., None], 3, axis=2).clip(0, 255).astype(np.uint8)


def tracks_of(num_frames: int) -> np.ndarray:
    """(T, 2, 4): two objects that cross the picture and come back."""
    t = np.arange(num_frames)
    x = 10 + 105 * np.abs((t / 30) % 2 - 1)
    y = 20 + 65 * np.abs((t / 23 + 0.4) % 2 - 1)
    one = np.stack([x, np.full(num_frames, 12.0), x + 22, np.full(num_frames, 36.0)], axis=1)
    two = np.stack([np.full(num_frames, 60.0), y, np.full(num_frames, 84.0), y + 20], axis=1)
    return np.stack([one, two], axis=1)


@pytest.fixture
def make_video(tmp_path: Path) -> Make:
    """Writes ``<name>`` below tmp_path and gives its labelled record with container times."""

    def make(
        name: str = "a.mp4",
        *,
        num_frames: int = 90,
        seed: int = 0,
        ticks: Sequence[int] = (),
        split: str = "",
        blank: Sequence[int] = (),
        frozen: Sequence[int] = (),
        lane_px: int = 0,
        mirrored: bool = False,
    ) -> LabelledVideo:
        boxes = tracks_of(num_frames)
        boxes[:, 0, 1::2] += lane_px
        boxes[:, 1, ::2] += lane_px
        times = np.array(ticks or range(num_frames))
        with av.open(str(tmp_path / name), "w") as box:
            stream = box.add_stream("mpeg4", rate=RATE)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            stream.bit_rate = 4_000_000
            stream.codec_context.time_base = Fraction(1, 25)
            image = paint(boxes[0], seed)
            for index in range(num_frames):
                if index not in frozen:
                    image = paint(boxes[index], seed)
                shown = np.zeros_like(image) if index in blank else image
                shown = np.ascontiguousarray(shown[:, ::-1]) if mirrored else shown
                frame = av.VideoFrame.from_ndarray(shown, format="rgb24")
                frame.pts, frame.time_base = int(times[index]), Fraction(1, 25)
                box.mux(stream.encode(frame))
            box.mux(stream.encode(None))
        table = TrackTable(
            frames=np.repeat(np.arange(num_frames), 2), times_s=np.repeat(times / 25, 2),
            ids=np.tile([1, 2], num_frames), labels=np.tile([0, 1], num_frames),
            boxes_xyxy=boxes.reshape(-1, 4),
        )  # fmt: skip
        info = VideoInfo(
            path=name, width_px=WIDTH, height_px=HEIGHT, rate=RATE, num_frames=num_frames
        )
        return LabelledVideo(source=name, info=info, tracks=table, split=split)

    return make
