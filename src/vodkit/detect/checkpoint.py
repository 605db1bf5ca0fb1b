"""Our own weight files: ``name.safetensors`` and, beside it, ``name.card.json``.

Only tensors are in the weight file, so loading one never runs code.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from vodkit.detect.base import ModelCard, read_card, write_card
from vodkit.detect.finite import refuse_not_finite
from vodkit.detect.weights import not_finite
from vodkit.ground.errors import WeightsError
from vodkit.ground.runs import sha256, write_atomic

SUFFIX = ".safetensors"
CARD_SUFFIX = ".card.json"


def card_path(path: Path) -> Path:
    """Where the card of the checkpoint ``path`` lies."""
    return path.with_name(path.name.removesuffix(SUFFIX) + CARD_SUFFIX)


def save_checkpoint(model_state: Mapping[str, Tensor], card: ModelCard, path: Path) -> ModelCard:
    """Write weights and card, each atomically; the card that came out, with sha256 and size.

    ``path`` ends in ``.safetensors``. The weights are written before the card that names their
    digest, so a kill in between leaves a pair that ``load_checkpoint`` refuses.
    """
    if path.suffix != SUFFIX:
        raise WeightsError(f"{path}: a checkpoint's name ends in {SUFFIX}")
    tensors = {name: value.detach().cpu().contiguous() for name, value in model_state.items()}
    write_atomic(path, save(tensors))
    done = replace(card, sha256=sha256(path), size_bytes=path.stat().st_size, url="")
    write_card(done, card_path(path))
    return done


def halved(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same weights in half precision; they are whole again when a network takes them in."""
    return {
        name: value.half() if value.is_floating_point() else value for name, value in state.items()
    }


def read_checkpoint_card(path: Path) -> ModelCard:
    """The card of a checkpoint, whose weight file is checked against the card's sha256."""
    beside = card_path(path)
    for needed in (path, beside):
        if not needed.is_file():
            raise WeightsError(
                f"{needed} is missing; a checkpoint is {path.name} and {beside.name}"
            )
    card = read_card(beside)
    seen = sha256(path)
    if seen != card.sha256:
        wanted = f"its card says {card.sha256[:12]}"
        raise WeightsError(f"{path}: corrupt, or not the card's: sha256 is {seen[:12]}, {wanted}")
    return card


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], ModelCard]:
    """Weights (on the CPU) and card; WeightsError when missing, corrupt, or not belonging."""
    card = read_checkpoint_card(path)
    try:
        state = load(path.read_bytes())  # not mapped: Windows could not replace the file
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: cannot read the weights: {error}") from error
    refuse_not_finite(not_finite(state), path)
    return state, card
