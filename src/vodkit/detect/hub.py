"""``hf://owner/name``: models of the Hugging Face hub, fetched once, and checkpoints pushed there.

A repository holds one checkpoint or graph of vodkit with its card, or the files of a
``transformers`` detector. Code in a repository is neither fetched nor run. Needs the extra ``hf``.
``HF_ENDPOINT``, ``HF_TOKEN`` and ``HF_HUB_OFFLINE`` mean what they mean to the hub's own client.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vodkit.detect.base import ModelCard, read_card
from vodkit.detect.weights import cache_folder
from vodkit.ground.errors import OutputError, SettingsError, WeightsError, needs

PREFIX = "hf://"
CARD_SUFFIX = ".card.json"
_WANTED = ["*.safetensors", "*.onnx", "*.xml", "*.bin", "*.card.json", "config.json",
           "preprocessor_config.json", "README.md"]  # fmt: skip
_UNWANTED = ["pytorch_model*.bin", "training_args.bin", "*/*"]


def is_hub(name: str | Path) -> bool:
    """Whether a model is named by its place on the hub.

    >>> is_hub("hf://owner/name"), is_hub("owner/name")
    (True, False)
    """
    return str(name).startswith(PREFIX)


def fetched(name: str) -> Path:
    """The checkpoint, graph or folder of a repository, fetched if it is not here.

    Args:
        name: ``hf://owner/name``, or ``hf://owner/name@revision``.

    Raises:
        SettingsError: not of this form, or the extra is missing.
        WeightsError: the repository cannot be fetched, or holds several cards.
    """
    repository, revision = _parsed(name)
    hub = _client()
    with _answering(name, WeightsError):
        folder = Path(
            hub.snapshot_download(
                repository,
                revision=revision or None,
                cache_dir=str(cache_folder() / "hub"),
                endpoint=os.environ.get("HF_ENDPOINT"),
                token=os.environ.get("HF_TOKEN"),
                allow_patterns=_WANTED,
                ignore_patterns=_UNWANTED,
            )
        )
    cards = sorted(folder.glob(f"*{CARD_SUFFIX}"))
    if not cards:
        return folder
    if len(cards) > 1:
        seen = ", ".join(card.name for card in cards)
        raise WeightsError(f"{name} holds several models ({seen}); allowed: one")
    stem = cards[0].name.removesuffix(CARD_SUFFIX)
    for file in (folder / stem, *(folder / f"{stem}{end}" for end in (".safetensors", ".onnx"))):
        if file.is_file():
            return file
    raise WeightsError(f"{name}: {cards[0].name} exists, the weights of {stem} are missing")


def push(checkpoint: Path, name: str, *, private: bool = True) -> str:
    """Put a checkpoint or graph and its card into a repository, which is made if it is missing.

    Args:
        checkpoint: ``best.safetensors``, ``street.onnx``, ..., with its card beside it.
        name: ``hf://owner/name``.
        private: of a repository that is made.

    Returns:
        The address of the commit.

    Raises:
        WeightsError: the file or its card is missing.
        OutputError: the hub refuses.
    """
    repository, revision = _parsed(name)
    beside = [
        checkpoint.with_name(stem + CARD_SUFFIX) for stem in (checkpoint.name, checkpoint.stem)
    ]
    cards = [path for path in beside if path.is_file()]
    if not checkpoint.is_file() or not cards:
        raise WeightsError(f"{checkpoint}: no such file with {beside[-1].name} beside it")
    page = _page(read_card(cards[0]), repository).encode()
    more = [checkpoint.with_suffix(".bin")] if checkpoint.suffix == ".xml" else []
    hub = _client()
    with _answering(name, OutputError):
        api = hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=os.environ.get("HF_TOKEN"))
        api.create_repo(repository, private=private, exist_ok=True)
        files = {path.name: path for path in (checkpoint, cards[0], *more)}
        operations = [
            hub.CommitOperationAdd(path_in_repo=file, path_or_fileobj=content)
            for file, content in {**files, "README.md": page}.items()
        ]
        done = api.create_commit(
            repository,
            operations,
            commit_message=f"Add {checkpoint.name}",
            revision=revision or None,
        )
    return str(done.commit_url)


def _parsed(name: str) -> tuple[str, str]:
    """Repository and revision."""
    repository, _, revision = name.removeprefix(PREFIX).partition("@")
    owner, _, short = repository.partition("/")
    if not owner or not short or "/" in short:
        raise SettingsError(
            f"model is {name!r}; allowed: hf://owner/name, hf://owner/name@revision"
        )
    return repository, revision


def _client() -> Any:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    with needs("hf:// needs: pip install 'vodkit[hf]'"):
        import huggingface_hub
    return huggingface_hub


@contextmanager
def _answering(name: str, kind: Any) -> Iterator[None]:
    """Within, what the hub or the network refuses is one line."""
    from huggingface_hub import errors

    try:
        yield
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, OSError, ValueError) as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        message = f"the hub refuses or cannot be reached: {said}"
        if kind is OutputError:
            raise OutputError(message, path=name) from error
        raise WeightsError(f"{name}: {message}") from error


def _page(card: ModelCard, repository: str) -> str:
    """The page of the repository: what its card says, in the hub's form."""
    metrics = "\n".join(f"| {one.name} | {one.value:.3f} | {one.data} |" for one in card.expected)
    return f"""---
license: {card.licence.lower()}
library_name: vodkit
pipeline_tag: object-detection
tags: [vodkit, object-detection, video]
---
# {card.name}

Classes: {", ".join(card.classes)}

Source: {card.source}

| metric | value | on |
|---|---|---|
{metrics}

```console
$ vodkit track my_video.mp4 --model {PREFIX}{repository}
```

{card.notes}
"""
