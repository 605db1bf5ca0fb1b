"""Boxes on pictures: who, what, how sure, and how the box is known.

Observed boxes are solid, predicted ones (the object is hidden) dashed, filled ones (put in
afterwards) dotted. An id keeps its colour through the whole video. The colours are Okabe and
Ito's, which the colour-blind can tell apart (https://jfly.uni-koeln.de/color/); a dark edge under
each line keeps them visible on any ground, and the id is written on the box, since colours repeat.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vodkit.ground.arrays import ByteArray, FloatArray
from vodkit.ground.records import NO_ID, Detections, Frame, State, Tracks
from vodkit.ground.settings import bounded, check_ranges

Colour = tuple[int, int, int]

PALETTE: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
EDGE: Colour = (20, 20, 20)
TRUTH: Colour = (255, 255, 255)
DASHES_PX = {State.OBSERVED: (0, 0), State.PREDICTED: (9, 8), State.FILLED: (1, 9)}
"""length of a stroke and of the gap after it; 0: solid"""


@dataclass(frozen=True, kw_only=True)
class DrawSettings:
    """What is written at a box, and how thick lines are."""

    line_px: int = bounded(0, low=0)
    """width of a box's lines; 0: follows the size of the picture"""
    text_scale: float = bounded(0.0, low=0)
    """size of the writing (OpenCV's font scale); 0: follows the size of the picture"""
    show_class: bool = True
    """write the class"""
    show_score: bool = False
    """write the score"""
    show_state: bool = True
    """write ``predicted`` or ``filled`` where the box was not observed"""

    def __post_init__(self) -> None:
        """Check ranges."""
        check_ranges(self)

    def for_picture(self, height_px: int, width_px: int) -> "DrawSettings":
        """With a width of lines and a size of writing that suit a picture of this size.

        >>> [DrawSettings().for_picture(*size).line_px for size in ((480, 640), (2160, 3840))]
        [2, 9]
        """
        side = min(height_px, width_px)
        return replace(
            self,
            line_px=self.line_px or max(1, round(side / 240)),
            text_scale=self.text_scale or min(max(0.45 * side / 480, 0.35), 2.5),
        )


DEFAULTS = DrawSettings()


def colour_of(identity: int) -> Colour:
    """The RGB colour of an id (the same at every time), or of a label for plain detections.

    >>> colour_of(3) == colour_of(3 + len(PALETTE))
    True
    """
    return PALETTE[identity % len(PALETTE)]


def draw_found(
    image: ByteArray,
    found: Detections | Tracks,
    classes: Sequence[str],
    *,
    settings: DrawSettings = DEFAULTS,
) -> ByteArray:
    """A fresh copy of ``image`` (H, W, 3) RGB uint8 with boxes, ids, classes and states on it."""
    canvas = image.copy()
    draw_onto(canvas, found, classes, settings=settings)
    return canvas


def draw_onto(
    canvas: ByteArray,
    found: Detections | Tracks,
    classes: Sequence[str],
    *,
    settings: DrawSettings = DEFAULTS,
) -> None:
    """Draw the same into ``canvas`` itself."""
    ids, states = _who_and_how(found)
    settings = settings.for_picture(*canvas.shape[:2])
    for row, box in enumerate(found.boxes_xyxy):
        label = int(found.labels[row])
        state = State(states[row])
        colour = colour_of(ids[row] if ids[row] != NO_ID else label)
        draw_box(canvas, box, colour, state=state, line_px=settings.line_px)
        words = [] if ids[row] == NO_ID else [f"#{ids[row]}"]
        words += [classes[label]] if settings.show_class else []
        words += [f"{found.scores[row]:.2f}"] if settings.show_score else []
        words += _how(found, row, state) if settings.show_state else []
        put_words(canvas, " ".join(words), box, colour, scale=settings.text_scale)


def _how(found: Detections | Tracks, row: int, state: State) -> list[str]:
    """How a box that was not observed is known, in words: the state, or who stands in front."""
    if isinstance(found, Tracks) and found.hidden_behind is not None and found.hidden_behind[row]:
        return [f"behind #{found.hidden_behind[row]}"]
    return [] if state == State.OBSERVED else [state.name.lower()]


def _who_and_how(found: Detections | Tracks) -> tuple[list[int], list[int]]:
    if isinstance(found, Tracks):
        return found.ids.tolist(), found.states.tolist()
    return [NO_ID] * len(found), [int(State.OBSERVED)] * len(found)


def draw_box(
    canvas: ByteArray,
    box_xyxy: FloatArray,
    colour: Colour,
    *,
    state: State = State.OBSERVED,
    line_px: int = 2,
) -> None:
    """Draw one box into ``canvas``, in the strokes of its state."""
    import cv2

    x1, y1, x2, y2 = (round(float(value)) for value in box_xyxy)
    stroke_px, gap_px = (length * max(line_px / 2, 1) for length in DASHES_PX[state])
    stroke_px, gap_px = round(stroke_px), round(gap_px)
    if not stroke_px:
        cv2.rectangle(canvas, (x1, y1), (x2, y2), EDGE, line_px + 2)
        cv2.rectangle(canvas, (x1, y1), (x2, y2), colour, line_px)
        return
    strokes = _strokes((x1, y1, x2, y2), stroke_px, gap_px)
    cv2.polylines(canvas, strokes, False, EDGE, line_px + 2)  # noqa: FBT003
    cv2.polylines(canvas, strokes, False, colour, line_px)  # noqa: FBT003


def _strokes(box_px: tuple[int, int, int, int], stroke_px: int, gap_px: int) -> list[ByteArray]:
    """The four sides of a box cut into strokes, each (2, 2) int32."""
    x1, y1, x2, y2 = box_px
    step = stroke_px + gap_px
    strokes = []
    for x in range(x1, max(x2, x1 + 1), step):
        end = min(x + stroke_px, x2)
        strokes += [[(x, y1), (end, y1)], [(x, y2), (end, y2)]]
    for y in range(y1, max(y2, y1 + 1), step):
        end = min(y + stroke_px, y2)
        strokes += [[(x1, y), (x1, end)], [(x2, y), (x2, end)]]
    return list(np.array(strokes, np.int32))


def put_words(
    canvas: ByteArray, words: str, box_xyxy: FloatArray, colour: Colour, *, scale: float
) -> None:
    """Write ``words`` on a plate above the box (inside it where there is no room above).

    Nothing is written for a box that lies outside of the canvas: it would name nothing in view.
    """
    import cv2

    height, width = canvas.shape[:2]
    x1, y1, x2, y2 = (float(value) for value in box_xyxy)
    if not words or x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
        return
    thick = max(1, round(scale / 0.6))
    (text_w, text_h), below = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
    left = min(max(round(x1), 0), max(width - text_w - 4, 0))
    bottom = round(y1) - 2
    if bottom - text_h - below - 2 < 0:
        bottom = min(round(y1) + text_h + below + 4, height)
    corner = (left + text_w + 4, bottom - text_h - below - 2)
    cv2.rectangle(canvas, (left, bottom), corner, colour, -1)
    ink = EDGE if _is_light(colour) else (255, 255, 255)
    place = (left + 2, bottom - below)
    cv2.putText(canvas, words, place, cv2.FONT_HERSHEY_SIMPLEX, scale, ink, thick, cv2.LINE_AA)


def _is_light(colour: Colour) -> bool:
    """Whether dark writing reads better on ``colour`` (relative luminance, rough)."""
    red, green, blue = colour
    return 0.299 * red + 0.587 * green + 0.114 * blue > 110


def to_jpeg(image: ByteArray, *, quality: int = 85) -> bytes:
    """A picture (H, W, 3) RGB as a JPEG file."""
    import cv2

    done, encoded = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return bytes(encoded.tobytes())


def picture_of(
    frame: Frame, found: Detections | Tracks, classes: Sequence[str], *, width_px: int = 960
) -> bytes:
    """A frame with what was found in it, as a JPEG of the source's shape.

    Args:
        frame: may be decoded smaller than the source.
        found: boxes in pixels of the source.
        classes: names of the labels.
        width_px: of the JPEG, at most; the source's own, if that is less.
    """
    import cv2

    wide = min(width_px, frame.width_px)
    size = (wide, max(round(frame.height_px * wide / frame.width_px), 1))
    image = frame.image
    if image.shape[1::-1] != size:
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    scale = np.array([size[0] / frame.width_px, size[1] / frame.height_px] * 2)
    return to_jpeg(draw_found(image, replace(found, boxes_xyxy=found.boxes_xyxy * scale), classes))
