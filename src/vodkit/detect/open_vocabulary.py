"""Detectors of ``transformers`` that find what words describe: OWLv2 and Grounding DINO.

Files come from the Hugging Face hub into the cache by vodkit's own download; ``transformers`` reads
that folder only, and code that comes with a model is never run (extra ``hf``).

Legend: Q queries (boxes), T tokens of the text, P prompts.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vodkit.detect.base import Choice, Detector, ModelCard, Output, Preprocessing, RunsOn
from vodkit.detect.devices import device_of
from vodkit.detect.hf_cards import CONFIG
from vodkit.detect.hf_family import quiet
from vodkit.detect.open_models import KINDS, OPEN, Prompt, classes_of, open_name, parse_prompts
from vodkit.detect.postprocess import suppress
from vodkit.detect.weights import HUB_NAMES, digest, fetch_folder
from vodkit.ground.arrays import FloatArray
from vodkit.ground.errors import FormatError, SettingsError, WeightsError, needs
from vodkit.ground.records import Detections, Frame

WEIGHTS = HUB_NAMES[0]
REQUIRED = (CONFIG, "preprocessor_config.json", "tokenizer_config.json", WEIGHTS)
OPTIONAL = (
    "tokenizer.json", "vocab.json", "merges.txt", "vocab.txt", "special_tokens_map.json",
    "added_tokens.json",
)  # fmt: skip
_HUB = "https://huggingface.co/{}/resolve/main/"
_LOWEST = 0.01  # score below which boxes are no candidates
_NMS_IOU = 0.7
_OWL_TOKENS = 16


class PromptDetector(Detector):
    """Finds what prompts describe; the classes have the prompts' names."""

    batch_size = 1
    choice = Choice(runtime="torch", why="the only one for prompts")

    def __init__(
        self, folder: Path, prompts: Sequence[Prompt], card: ModelCard, device: str
    ) -> None:
        """Load the model in a hub folder.

        Raises:
            WeightsError: a file is missing or damaged.
            SettingsError: transformers is not installed, or a prompt is too long.
        """
        self.card, self.classes = card, card.classes
        self._device = device_of(device)
        self.runs_on = RunsOn("torch", str(self._device))
        self._prompts = tuple(prompts)
        self._labels = np.array([self.classes.index(prompt.name) for prompt in prompts])
        self._is_owl = card.architecture["model_type"] == "owlv2"
        self._model, self._pictures, self._tokens = _loaded(folder, self._device)
        self._text, self._spans = self._owl_text() if self._is_owl else self._dino_text()

    def decode_px(self, width_px: int, height_px: int) -> tuple[int, int] | None:
        """Full size: the model's own preprocessing resizes."""
        del width_px, height_px
        return None

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """See Detector."""
        return [self._detect(frame) for frame in frames]

    @torch.inference_mode()
    def _detect(self, frame: Frame) -> Detections:
        given = self._pictures(images=[frame.image], return_tensors="pt").to(self._device)
        found = self._model(**given, **self._text)
        scores = torch.sigmoid(found.logits[0].float()).cpu().numpy()
        if not self._is_owl:
            scores = np.stack([scores[:, span].max(axis=1) for span in self._spans], axis=1)
        return self._finished(scores, found.pred_boxes[0].float().cpu().numpy(), frame)

    def _finished(self, scores: FloatArray, boxes_cxcywh: FloatArray, frame: Frame) -> Detections:
        """Detections of scores (Q, P) and boxes (Q, 4) in shares of the picture."""
        best = scores.argmax(axis=1)
        sure = scores[np.arange(len(best)), best]
        middle, half = boxes_cxcywh[:, :2], boxes_cxcywh[:, 2:] / 2
        size = np.array([frame.width_px, frame.height_px], np.float32)
        # OWLv2's boxes are shares of a square, which holds the picture at its top left.
        scale = np.full(2, size.max()) if self._is_owl else size
        corners = np.hstack([middle - half, middle + half]) * np.tile(scale, 2)
        boxes = np.clip(corners, 0, np.tile(size, 2)).astype(np.float32)
        real = (boxes[:, 2:] > boxes[:, :2]).all(axis=1) & (sure >= _LOWEST)
        labels = self._labels[best]
        rows = np.flatnonzero(real)
        rows = rows[suppress(boxes[rows], sure[rows], labels[rows], nms_iou=_NMS_IOU)]
        return Detections(boxes[rows], sure[rows].astype(np.float32), labels[rows])

    def _owl_text(self) -> tuple[dict[str, Tensor], list[list[int]]]:
        """The prompts as queries, one a row."""
        words = [prompt.words for prompt in self._prompts]
        most = int(getattr(self._model.config.text_config, "max_position_embeddings", _OWL_TOKENS))
        lengths = [len(ids) for ids in self._tokens(words)["input_ids"]]
        for text, length in zip(words, lengths, strict=True):
            if length > most:
                seen = f"has {length} tokens"
                raise SettingsError(f"prompt {text!r} {seen}; allowed: up to {most}, so be brief")
        given = self._tokens(words, padding="max_length", max_length=most, return_tensors="pt")
        wanted = {name: given[name].to(self._device) for name in ("input_ids", "attention_mask")}
        return wanted, []

    def _dino_text(self) -> tuple[dict[str, Tensor], list[list[int]]]:
        """The prompts as one text, ``a. b.``, and the tokens that each consists of."""
        text = " ".join(f"{prompt.words}." for prompt in self._prompts)
        given = self._tokens(text, return_offsets_mapping=True, return_tensors="pt")
        offsets = given.pop("offset_mapping")[0].tolist()
        most = int(self._model.config.max_text_len)
        if len(offsets) > most:
            seen = f"the prompts have {len(offsets)} tokens together"
            raise SettingsError(f"{seen}; allowed: up to {most}, so give fewer or shorter ones")
        spans, start = [], 0
        for prompt in self._prompts:
            end = start + len(prompt.words)
            spans.append([k for k, (a, b) in enumerate(offsets) if start <= a < b <= end])
            start = end + 2
        names = ("input_ids", "attention_mask", "token_type_ids")
        return {name: given[name].to(self._device) for name in names if name in given}, spans


def _loaded(folder: Path, device: torch.device) -> tuple[Any, Any, Any]:
    """Model, image processor and tokenizer of a folder."""
    with needs("prompts need transformers; install it: pip install 'vodkit[hf]'"):
        import transformers
    load_pictures: Any = transformers.AutoImageProcessor.from_pretrained
    how: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        with quiet():
            model = transformers.AutoModelForZeroShotObjectDetection.from_pretrained(
                folder, use_safetensors=True, dtype=torch.float32, **how
            )
            pictures = load_pictures(folder, **how)
            tokens = transformers.AutoTokenizer.from_pretrained(folder, **how)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(f"{folder}: cannot be read as a detector: {reason}") from error
    return model.eval().to(device), pictures, tokens


def load_prompted(
    name_or_path: str, texts: Sequence[str], *, device: str = "auto"
) -> PromptDetector:
    """A detector for what words describe.

    Args:
        name_or_path: a name in ``open_models.OPEN``, fetched once, or a hub folder.
        texts: ``a red cup``, or ``a red cup=cup`` to name the class.
        device: auto, cpu, cuda, ...

    Raises:
        SettingsError: an unknown name, a prompt that cannot be used, or no transformers.
        WeightsError: the files are missing, cannot be fetched, or are damaged.
    """
    prompts = parse_prompts(texts)
    name = open_name(name_or_path)
    folder = Path(name)
    if name in OPEN:
        url = _HUB.format(OPEN[name].repository)
        folder = fetch_folder(name, url, required=REQUIRED, optional=OPTIONAL)
    return PromptDetector(folder, prompts, _card(name, folder, prompts), device)


def _card(name: str, folder: Path, prompts: Sequence[Prompt]) -> ModelCard:
    """What ran, with its prompts: other words are another detector."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        kind = str(config["model_type"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FormatError("is no configuration of a model", path=folder / CONFIG) from error
    if kind not in KINDS:
        allowed = ", ".join(KINDS)
        raise SettingsError(f"{folder}: model_type is {kind!r}, without words; allowed: {allowed}")
    path = folder / WEIGHTS
    if not path.is_file():
        raise WeightsError(f"{path} is missing")
    about = OPEN.get(name)
    return ModelCard(
        name=folder.name if about is None else name,
        family="open-vocabulary",
        classes=classes_of(prompts),
        licence="unknown" if about is None else about.licence,
        source=f"the folder {folder.name}" if about is None else about.source,
        preprocessing=Preprocessing(width_px=960, height_px=960),
        output=Output(decoding="scored_boxes", nms_iou=_NMS_IOU),
        architecture={"model_type": kind, "prompts": [prompt.words for prompt in prompts]},
        sha256=digest(path),
        size_bytes=path.stat().st_size,
        url="" if about is None else _HUB.format(about.repository) + WEIGHTS,
        notes="The classes are prompts; what they find was not measured.",
    )
