"""Networks that draw random numbers while they learn resume bit-equal, too."""

import json
from pathlib import Path

import pytest
import torch

from vodkit.detect.checkpoint import load_checkpoint
from vodkit.train.loop import train
from vodkit.train.progress import Progress
from vodkit.train.settings import TrainSettings

pytest.importorskip("transformers", reason="the extra hf is not installed")
# DETR has dropout in its decoder.
CONFIG = {
    "model_type": "detr",
    "id2label": {"0": "square"},
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "num_queries": 8,
    "dropout": 0.2,
    "backbone_config": {
        "model_type": "resnet",
        "layer_type": "basic",
        "embedding_size": 8,
        "depths": [1, 1, 1, 1],
        "hidden_sizes": [8, 8, 8, 8],
        "out_features": ["stage4"],
    },
}


class StopHereError(Exception):
    """In the middle of an epoch."""


def stop(progress: Progress) -> None:
    if (progress.what, progress.epoch, progress.done) == ("step", 1, 2):
        raise StopHereError


@pytest.mark.slow
def test_a_run_with_dropout_goes_on_as_if_it_had_not_stopped(
    square_data: Path, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    size = {"size": {"height": 64, "width": 64}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(size))

    def words(name: str) -> TrainSettings:
        return TrainSettings(
            data=str(square_data),
            out=str(tmp_path / name),
            model=str(tmp_path),
            weights="random",
            freeze="stem",
            still_iou=2.0,
            epochs=2,
            batch_size=4,
            val_every=2,
            save_every_s=0.0,
            device="cpu",
        )

    train(words("whole"))
    with pytest.raises(StopHereError):
        train(words("cut"), watch=stop)
    train(words("cut"), resume_run=True)
    one, two = (load_checkpoint(tmp_path / x / "last.safetensors")[0] for x in ("whole", "cut"))
    assert all(torch.equal(one[name], two[name]) for name in one)
