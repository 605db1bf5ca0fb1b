"""Which frames make a clip: index arithmetic, no pixels.

A clip of 4 frames with stride 3, from frame 5 (x taken, . passed over)::

    5  6  7  8  9 10 11 12 13 14
    x  .  .  x  .  .  x  .  .  x
"""

from collections.abc import Iterator

from vodkit.ground.errors import InputError


def clip_indices(start: int, *, num_frames: int, stride: int = 1) -> list[int]:
    """The frames of a clip, sorted.

    >>> clip_indices(5, num_frames=4, stride=3)
    [5, 8, 11, 14]
    """
    if start < 0 or num_frames < 1 or stride < 1:
        seen = f"start {start}, num_frames {num_frames}, stride {stride}"
        raise InputError(f"clip: {seen}; allowed: from 0, from 1, from 1")
    return list(range(start, start + num_frames * stride, stride))


def windows(
    video_frames: int, *, num_frames: int, stride: int = 1, overlap: int = 0
) -> Iterator[list[int]]:
    """Consecutive clips that cover a video; the last one is shifted back to fit.

    A video that is shorter than a clip gives one clip that repeats its last frame.

    >>> list(windows(7, num_frames=3))
    [[0, 1, 2], [3, 4, 5], [4, 5, 6]]
    """
    if not 0 <= overlap < num_frames:
        raise InputError(f"overlap is {overlap}; allowed: 0 to {num_frames - 1}")
    span = (num_frames - 1) * stride + 1
    if video_frames <= span:
        yield [
            min(i, video_frames - 1) for i in clip_indices(0, num_frames=num_frames, stride=stride)
        ]
        return
    hop = (num_frames - overlap) * stride
    start = 0
    while start + span < video_frames:
        yield clip_indices(start, num_frames=num_frames, stride=stride)
        start += hop
    yield clip_indices(video_frames - span, num_frames=num_frames, stride=stride)
