"""Following one object through a video by SAM 2's video predictor, from one box.

Weights are a folder that ``transformers`` reads (``config.json`` of model type ``sam2_video``,
weights, processor); nothing is downloaded. Ravi et al., SAM 2: Segment Anything in Images and
Videos, ICLR 2025.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from vodkit.ground.arrays import BoolArray, FloatArray
from vodkit.ground.errors import InputError, WeightsError, needs
from vodkit.ground.records import Frame

KIND = "sam2_video"
"""model type of the weights"""


@dataclass(frozen=True)
class Followed:
    """The object in one frame."""

    index: int
    time_s: float
    box_xyxy: FloatArray | None
    """(4,) source pixels around the largest part of its mask; None: it is not seen"""
    score: float
    """probability that it is seen"""


class MaskTracker:
    """A video predictor, loaded once; every ``follow`` is a session of its own."""

    def __init__(self, folder: Path, *, device: str = "cpu") -> None:
        """Load the weights.

        Raises:
            InputError: no such folder, or another type of model.
            SettingsError: transformers is not installed.
            WeightsError: the weights cannot be loaded.
        """
        config = folder / "config.json"
        if not config.is_file():
            raise InputError(f"{folder}: has no config.json; allowed: a folder of weights of SAM 2")
        try:
            kind = json.loads(config.read_text(encoding="utf-8")).get("model_type")
        except (OSError, ValueError, AttributeError) as error:
            raise InputError(f"{config}: not the configuration of a model: {error}") from error
        if kind != KIND:
            raise InputError(f"{config}: model_type is {kind!r}; allowed: {KIND}")
        with needs("following by masks needs transformers; pip install 'vodkit[hf]'"):
            import transformers
        self._device = torch.device(device)
        try:
            network: Any = transformers.Sam2VideoModel.from_pretrained(
                folder, local_files_only=True
            )
            self._processor: Any = transformers.Sam2VideoProcessor.from_pretrained(
                folder, local_files_only=True
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise WeightsError(f"{folder}: cannot be loaded: {error}") from error
        self._network = network.eval().to(self._device)

    def follow(self, frames: Iterable[Frame], box_xyxy: FloatArray) -> Iterator[Followed]:
        """The object that is in ``box_xyxy`` (4,), source pixels, in the first of ``frames``."""
        session = self._processor.init_video_session(inference_device=self._device)
        for number, frame in enumerate(frames):
            with torch.inference_mode():
                yield self._step(session, frame, box_xyxy if number == 0 else None)
            # Drop what no later frame attends to, so that memory stays flat in long videos
            oldest = number - _MEMORY_FRAMES
            for stored in session.output_dict_per_obj.values():
                stored["non_cond_frame_outputs"].pop(oldest, None)
            if oldest in session.processed_frames:  # its length numbers the frames: the key stays
                session.processed_frames[oldest] = torch.empty(0)

    def _step(self, session: Any, frame: Frame, box_xyxy: FloatArray | None) -> Followed:
        # A copy: frames may be views of memory that cannot be written.
        given = self._processor(images=np.array(frame.image), return_tensors="pt")
        if box_xyxy is not None:
            self._processor.add_inputs_to_inference_session(
                session, frame_idx=0, obj_ids=1, original_size=given.original_sizes[0],
                input_boxes=[[[float(v) for v in box_xyxy]]],
            )  # fmt: skip
        found = self._network(
            inference_session=session, frame=given.pixel_values[0].to(self._device)
        )
        (masks,) = self._processor.post_process_masks(
            [found.pred_masks.cpu()], original_sizes=given.original_sizes, binarize=False
        )
        score = float(torch.sigmoid(found.object_score_logits.flatten()[0]))
        box = largest_part(masks[0, 0].numpy() > 0) if score > 0.5 else None
        scale = np.array([frame.width_px / frame.image.shape[1],
                          frame.height_px / frame.image.shape[0]] * 2)  # fmt: skip
        return Followed(frame.index, frame.time_s, None if box is None else box * scale, score)


def largest_part(mask: BoolArray) -> FloatArray | None:
    """The box (4,) around the largest connected part of a mask (H, W); None where it is empty.

    >>> largest_part(np.array([[1, 1, 0, 1]], bool))
    array([0., 0., 2., 1.])
    """
    parts, count = ndimage.label(mask)
    if not count:
        return None
    largest = 1 + int(np.bincount(parts.ravel())[1:].argmax())
    rows, columns = ndimage.find_objects(parts)[largest - 1]
    return np.array([columns.start, rows.start, columns.stop, rows.stop], float)


_MEMORY_FRAMES = 32
"""more than the 7 mask memories and 16 object pointers that the published models attend to"""
