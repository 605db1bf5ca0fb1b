"""Open-vocabulary detectors by name, and the prompts that say what they detect.

Nothing here imports torch or transformers; ``open_vocabulary`` runs them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from vodkit.detect.defaults import PROMPTED
from vodkit.ground.errors import SettingsError
from vodkit.ground.lookup import full_name


class Prompt(NamedTuple):
    """What to detect, in words, and the name of its class."""

    words: str
    name: str


@dataclass(frozen=True)
class OpenModel:
    """A published detector that takes prompts."""

    repository: str
    """on the Hugging Face hub"""
    source: str
    size_bytes: int
    """of the weights, as published"""
    licence: str = "Apache-2.0"


_OWL = "Google OWLv2 (Minderer et al. 2023), ensemble of checkpoints, on web pictures"
_DINO = "IDEA-Research Grounding DINO (Liu et al. 2023), on O365, GoldG and others"
OPEN: dict[str, OpenModel] = {
    "owlv2-base": OpenModel("google/owlv2-base-patch16-ensemble", _OWL, 620_000_000),
    "owlv2-large": OpenModel("google/owlv2-large-patch14-ensemble", _OWL, 1_750_000_000),
    "grounding-dino-tiny": OpenModel("IDEA-Research/grounding-dino-tiny", _DINO, 690_000_000),
    "grounding-dino-base": OpenModel("IDEA-Research/grounding-dino-base", _DINO, 930_000_000),
}
"""by name; a folder of the hub's form is taken as well"""
KINDS = {"owlv2": "owlv2", "grounding-dino": "grounding-dino"}
"""``model_type`` of a hub folder: the begin of the names of its models"""
assert set(KINDS) == set(PROMPTED)


def open_name(name_or_path: str) -> str:
    """The full name of a model in ``OPEN``, or the path of a folder.

    Raises:
        SettingsError: another model, whose classes are fixed.
    """
    if Path(name_or_path).is_dir():
        return name_or_path
    try:
        return full_name(name_or_path, OPEN, "model")
    except SettingsError as error:
        allowed = f"allowed: {', '.join(OPEN)}, or a folder of one"
        message = f"--prompt needs a model that takes words, not {name_or_path!r}; {allowed}"
        raise SettingsError(message) from error


def parse_prompts(texts: Sequence[str]) -> tuple[Prompt, ...]:
    """Prompts of ``words`` or ``words=class``; several may be of one class.

    Raises:
        SettingsError: one without words, or with a full stop, which ends a prompt.

    >>> parse_prompts(["a red cup=cup", "dog"])
    (Prompt(words='a red cup', name='cup'), Prompt(words='dog', name='dog'))
    """
    found = []
    for text in texts:
        words, _, name = text.partition("=")
        words, name = " ".join(words.split()), name.strip()
        if not words or ("=" in text and not name) or "." in words:
            allowed = "words without full stops, or words=class, as 'a red cup=cup'"
            raise SettingsError(f"prompt {text!r}; allowed: {allowed}")
        found.append(Prompt(words=words.lower(), name=name or words))
    if not found:
        raise SettingsError("no prompts; give one or more, as --prompt 'a red cup=cup'")
    return tuple(found)


def classes_of(prompts: Sequence[Prompt]) -> tuple[str, ...]:
    """The names of their classes, each once, in the order of the prompts."""
    return tuple(dict.fromkeys(prompt.name for prompt in prompts))
