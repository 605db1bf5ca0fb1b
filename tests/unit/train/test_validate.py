"""Training sees the pixels that inference sees, and validation counts as `vodkit eval` does."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vodkit.data.transforms import Augment
from vodkit.detect.checkpoint import save_checkpoint
from vodkit.detect.detector import GraphDetector
from vodkit.detect.models import build_network
from vodkit.detect.networks import deployed
from vodkit.detect.preprocess import place
from vodkit.detect.runtimes.torch_module import TorchRuntime
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground.records import TrackTable
from vodkit.metrics.detection.ap import table_average_precision
from vodkit.train.settings import TrainSettings
from vodkit.train.setup import prepare
from vodkit.train.validate import Validated, validate
from vodkit.video.reader import open_video


@pytest.mark.slow
def test_validation_equals_detecting_and_counting(square_data: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    settings = TrainSettings(
        data=str(square_data),
        out=str(tmp_path),
        model="yolox_nano",
        weights="random",
        width_px=96,
        height_px=32,
        cache="off",
    )
    material = prepare(settings, torch.device("cpu"), lambda *_: None)
    module = material.module.eval()
    for parameter in module.parameters():  # so that something is found
        parameter.data.normal_(0, 0.3)
    assert material.validation is not None
    seen = validate(module, material.card, material.validation)

    dataset = read_dataset(square_data).only("val")
    runtime = TorchRuntime(
        deployed(module, material.card), device=torch.device("cpu"), batched=True
    )
    detector = GraphDetector(
        material.card, runtime, score_threshold=0.01, max_detections=100, classes=None
    )
    with open_video(square_data.parent / "three") as video:
        frames = list(video.frames(size_px=(32, 32)))  # as `vodkit track` decodes
    found = [(f.index, f.time_s, d) for f, d in zip(frames, detector.detect(frames), strict=True)]
    assert sum(len(d) for _, _, d in found) > 20
    wanted = table_average_precision(dataset, {"three": TrackTable.from_frames(found)})
    assert seen.result.overall == wanted.overall

    example = material.validation.views.view(3, 0)
    placed, _ = place(frames[3], material.card.preprocessing)
    assert np.array_equal(example.image.permute(1, 2, 0).numpy(), placed)


@pytest.mark.slow
def test_what_is_filled_beside_a_picture_is_as_at_inference(
    square_data: Path, tmp_path: Path
) -> None:
    """Not every network wants the same grey there."""
    module, card = build_network("yolox_nano", weights="random")
    told = replace(card, preprocessing=replace(card.preprocessing, fill=(1, 2, 3)))
    save_checkpoint(module.state_dict(), told, tmp_path / "dark.safetensors")
    settings = TrainSettings(
        data=str(square_data),
        out=str(tmp_path / "run"),
        model=str(tmp_path / "dark.safetensors"),
        width_px=96,
        height_px=32,
        augment=Augment(colour=0),
    )
    material = prepare(settings, torch.device("cpu"), lambda *_: None)
    assert material.validation is not None
    with open_video(square_data.parent / "three") as video:
        placed, _ = place(video.frame_at(3, size_px=(32, 32)), material.card.preprocessing)
    example = material.validation.views.view(3, 0)
    assert np.array_equal(example.image.permute(1, 2, 0).numpy(), placed)
    for number in range(1, 5):  # views that move the picture
        seen = material.training.view(3, number).image
        assert [seen[:, row, -1].tolist() for row in (0, 16, 31)] == [[1, 2, 3]] * 3


def found_on(data: Path, root: Path) -> Validated:
    """What a network of random weights, large enough to find something, finds on the split val."""
    settings = TrainSettings(
        data=str(data),
        root=str(root),
        out="run",
        model="yolox_nano",
        weights="random",
        width_px=96,
        height_px=32,
    )
    material = prepare(settings, torch.device("cpu"), lambda *_: None)
    module = material.module.eval()
    torch.manual_seed(0)
    for parameter in module.parameters():
        parameter.data.normal_(0, 0.3)
    assert material.validation is not None
    return validate(module, material.card, material.validation, num_shown=1)


@pytest.mark.slow
def test_a_video_that_nobody_labelled_counts_for_nothing(square_data: Path, tmp_path: Path) -> None:
    """Also where it comes before the others."""
    whole = read_dataset(square_data)
    train_part, others = whole.only("train").videos, whole.only("val").videos
    assert train_part[0].tracks is not None
    nothing = replace(
        train_part[0],
        split="val",
        tracks=train_part[0].tracks[:0],
        labelled_frames=np.empty(0, np.int64),
    )
    videos = (*train_part, nothing, *others)
    write_dataset(replace(whole, videos=videos), tmp_path / "more.json")
    one = found_on(square_data, square_data.parent)
    two = found_on(tmp_path / "more.json", square_data.parent)
    assert len(one.shown[0].found) > 20
    assert one.result.overall == two.result.overall


@pytest.mark.slow
def test_labels_of_a_copy_of_another_shape_count_the_same(
    square_data: Path, tmp_path: Path
) -> None:
    """Anamorphic copies: labels that speak of twice the width name the same pixels."""
    whole = read_dataset(square_data)
    wide = []
    for video in whole.videos:
        assert video.tracks is not None
        info = replace(video.info, width_px=2 * video.info.width_px)
        tracks = replace(video.tracks, boxes_xyxy=video.tracks.boxes_xyxy * [2, 1, 2, 1])
        wide.append(replace(video, info=info, tracks=tracks))
    write_dataset(replace(whole, videos=tuple(wide)), tmp_path / "wide.json")
    results = [found_on(data, square_data.parent) for data in (square_data, tmp_path / "wide.json")]
    one, two = (result.shown[0].found.boxes_xyxy for result in results)
    assert len(one) > 20
    assert np.allclose(one, two, atol=1e-3)
    assert results[0].result.overall.ap == results[1].result.overall.ap


@pytest.mark.slow
def test_heads_keep_known_classes_by_name() -> None:
    module, card = build_network("yolox_nano", weights="random")
    from vodkit.detect.networks import for_classes

    fresh, changed = for_classes(module, card, ("truck", "fly"))
    old = card.classes.index("truck")
    for mine, theirs in zip(fresh.head.cls_preds, module.head.cls_preds, strict=True):
        assert torch.equal(mine.weight[0], theirs.weight[old])
    assert changed.classes == ("truck", "fly")
