"""The film of a run, drawn in the same pass: each frame is decoded once, into two sizes.

A frame is drawn when its rows are final. A predictions file does not tell when a tracker gives an
unconfirmed track up, so readers of the file hold its frames for 30 s, far too many pictures to keep
in memory. Here a track counts as given up half a second after it was last seen. If it is confirmed
after all, or if pictures pile up since a track stays undecided for long, the film is discarded and
drawn from the file after the run, which costs a second decode. So the film is the same either way.
"""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

from vodkit.formats.predictions import FinalRows, Header, PredictedFrame
from vodkit.ground.errors import InputError, VideoError, VodkitError
from vodkit.ground.records import Detections, Frame, Tracks

Drawing = Generator[None, tuple[Frame, Detections | Tracks] | None, Sequence[str]]
"""takes each frame with its final rows by ``send``, and None at the end; returns notes"""
Film = Callable[[Path, Header, str], Drawing]
"""what draws the film of a source, as ``report.annotate.film``: the file to write, its source"""

_HOLD_S, _HOLD_FRAMES = 0.5, 2
_MOST_BYTES = 2**27  # of pictures that wait
_LEAST = 48  # pictures may always wait: so many are in the detector's work at a time


class OnePass:
    """The film of one run, while it runs."""

    def __init__(self, film: Film, path: Path, source: str) -> None:
        """``film`` draws the frames of ``source`` into the file ``path``."""
        self.error: VodkitError | None = None
        """why it could not be written (PartialError: why something is missing in it)"""
        self.notes: Sequence[str] = ()
        self.is_over = False
        """whether it is complete, or failed; False: it is to be drawn from the file"""
        self._film, self._path, self._source = film, path, source
        self._drawing: Drawing | None = None
        self._pictures: deque[tuple[int, Callable[[], Frame]]] = deque()
        self._rows = FinalRows(hold_s=_HOLD_S, hold_frames=_HOLD_FRAMES)
        self._most = 0

    def begin(self, header: Header) -> None:
        """Begin the file."""
        size = 3 * header.info.width_px * header.info.height_px
        self._most = max(_LEAST, _MOST_BYTES // size)
        self._drawing = self._film(self._path, header, self._source)
        self._send(None)

    def decoded(self, index: int, full_size: Callable[[], Frame]) -> None:
        """Take the next frame that was decoded (see ``open_video``), in whichever thread."""
        if self._drawing is not None:
            self._pictures.append((index, full_size))

    def step(self, frame: PredictedFrame) -> None:
        """Take what was found in the next frame, and draw those that are final by now."""
        if self._drawing is None:
            return
        try:
            final = list(self._rows.add(frame))
        except InputError:  # a track that counted as given up is confirmed
            self.close()
            return
        for one in final:
            self._draw(one)
        if len(self._pictures) > self._most:
            self.close()

    def end(self) -> None:
        """Draw the frames that wait, and finish the file: no more come."""
        for one in self._rows.end():
            self._draw(one)
        while self._drawing is not None and self._pictures:
            self._draw(PredictedFrame(self._pictures[0][0], 0.0, Detections.empty()))
        self._send(None)

    def close(self) -> None:
        """Discard the film where it is not complete."""
        drawing, self._drawing = self._drawing, None
        self._pictures.clear()
        if drawing is not None:
            drawing.close()

    def _draw(self, final: PredictedFrame) -> None:
        """All pictures up to this one; those before it are of frames without a line."""
        while self._drawing is not None and self._pictures:
            if self._pictures[0][0] > final.index:
                return
            index, full_size = self._pictures.popleft()
            try:
                picture = full_size()
            except VideoError:  # it is left out, as a picture that cannot be decoded
                continue
            self._send((picture, final.found if index == final.index else Detections.empty()))

    def _send(self, pair: tuple[Frame, Detections | Tracks] | None) -> None:
        if self._drawing is None:
            return
        try:
            self._drawing.send(pair)
        except StopIteration as ended:
            self.notes, self.is_over, self._drawing = ended.value, True, None
        except VodkitError as error:
            self.error, self.is_over, self._drawing = error, True, None
            self._pictures.clear()
