"""The complete state of a training, so that a run killed at any moment resumes exactly.

The state file is replaced in one step, so there is always a complete one. It remembers what the
training was made from; a changed dataset or setting is refused with the difference.
"""

import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vodkit.detect.hf_cards import weights_in
from vodkit.detect.models import IMAGENET, find_card
from vodkit.detect.weights import digest as digest_of_file
from vodkit.detect.weights import read_archive
from vodkit.ground.errors import InputError, OutputError
from vodkit.ground.records import Dataset
from vodkit.ground.runs import MANIFEST, write_atomic
from vodkit.video.fingerprint import digest as digest_of

STATE = "state.pt"


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Tensors, numbers and text, atomically."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    write_atomic(path, buffer.getvalue())


def load_state(path: Path, *, parts: Iterable[str]) -> dict[str, Any]:
    """What ``save_state`` wrote; only tensors and plain values are accepted.

    InputError where its ``parts`` are others than today's: what other code left out was at its
    default there, or was not thought of, and the training would not end as if never stopped.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing: there is no training to resume")
    state = read_archive(path, fault="cannot read the state", allowed="a training's state")
    wanted = set(parts)
    others = {"missing": wanted - state.keys(), "unknown": state.keys() - wanted}
    seen = [
        f"{what}: {', '.join(sorted(map(str, names))[:5])}"
        for what, names in others.items()
        if names
    ]
    if seen:
        allowed = "allowed: resume with that version, or start over (--overwrite)"
        fault = f"cannot resume what another version of vodkit began ({'; '.join(seen)})"
        raise InputError(f"{path}: {fault}; {allowed}")
    return state


def refuse_training_in(folder: Path) -> None:
    """OutputError if the folder has a training, which is neither resumed nor discarded unasked."""
    if (folder / MANIFEST).is_file():
        message = "holds a training; --resume continues it, --overwrite starts over"
        raise OutputError(message, path=folder)


def described(dataset: Dataset) -> dict[str, str]:
    """What a dataset is, for comparison: its classes, and a digest of each video's labels."""
    about = {"classes": ", ".join(dataset.classes)}
    for video in dataset.videos:
        # Boxes are scaled by the declared size; where no frames are listed, all are labelled.
        size = (video.info.width_px, video.info.height_px, video.info.num_frames)
        digest = hashlib.sha256(f"{video.split} {size} {video.labelled_frames!r}".encode())
        if video.labelled_frames is not None:
            digest.update(video.labelled_frames.tobytes())
        if video.tracks is not None:
            columns = (video.tracks.frames, video.tracks.boxes_xyxy, video.tracks.labels)
            # Ids tell which frames are near-duplicates.
            for column in (*columns, video.tracks.ignore, video.tracks.ids):
                digest.update(np.ascontiguousarray(column).tobytes())
        # One recording may stand in several splits.
        side = f", {video.split}" if video.split else ""
        about[f"video {video.source}{side}"] = digest.hexdigest()[:16]
    return about


def footage(dataset: Dataset, root: Path) -> dict[str, str]:
    """A digest of each video's file, or of its pictures, for comparison."""
    sources = dict.fromkeys(video.source for video in dataset.videos)
    return {f"pixels of {source}": (digest_of(root / source) or "")[:16] for source in sources}


def digest_of_start(model: str, weights: str = "default") -> str:
    """A digest of the weights that a network begins with; empty for random ones.

    Args:
        model: whose own weights are the default: a name, or a file.
        weights: default, random, or a weight file or hub folder.
    """
    if weights == "default":
        card, file = find_card(model)
        if card.sha256 or file is None:
            return card.sha256
    elif weights in ("random", IMAGENET):
        return ""
    else:
        file = weights_in(Path(weights)) if Path(weights).is_dir() else Path(weights)
    return digest_of_file(file) if file.is_file() else ""


def digest(about: Mapping[str, str]) -> str:
    """One short digest of all that ``described`` says."""
    return hashlib.sha256(repr(sorted(about.items())).encode()).hexdigest()[:16]


def refuse_changes(then: Mapping[str, str], now: Mapping[str, str], *, where: str) -> None:
    """InputError with the difference, if there is any."""
    gone = [name for name in then if name not in now]
    new = [name for name in now if name not in then]
    changed = [name for name in then if name in now and then[name] != now[name]]
    if gone or new or changed:
        shown = [f"- {name}" for name in gone[:3]] + [f"+ {name}" for name in new[:3]]
        shown += [f"{name}: was {then[name][:40]}, is {now[name][:40]}" for name in changed[:3]]
        count = len(gone) + len(new) + len(changed)
        raise InputError(f"{where}: cannot resume, {count} changed: {'; '.join(shown)}")


def digest_of_weights(module: nn.Module, parts: Sequence[str]) -> str:
    """A digest of the weights and statistics of the named submodules."""
    digest = hashlib.sha256()
    for part in parts:
        for value in module.get_submodule(part).state_dict().values():
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def random_of(device: torch.device) -> list[torch.Tensor]:
    """States of the generators on the device: dropout and sampling draw from them."""
    if device.type == "cuda":
        return torch.cuda.get_rng_state_all()
    return [torch.mps.get_rng_state()] if device.type == "mps" else []


def set_random_of(device: torch.device, states: list[torch.Tensor]) -> None:
    """Set the states that were saved on the same kind of device; others are no use here."""
    if device.type == "cuda" and len(states) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states)
    if device.type == "mps" and states:
        torch.mps.set_rng_state(states[0])
