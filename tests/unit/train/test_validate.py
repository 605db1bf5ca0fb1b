"""Training sees the pixels that inference sees, and validation counts as `vodkit eval` does."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vodkit.detect.detector import GraphDetector
from vodkit.detect.models import build_network
from vodkit.detect.networks import deployed
from vodkit.detect.preprocess import place
from vodkit.detect.runtimes.torch_module import TorchRuntime
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.metrics.ap import table_average_precision
from vodkit.records import TrackTable
from vodkit.train.settings import TrainSettings
from vodkit.train.setup import prepare
from vodkit.train.validate import validate
from vodkit.video.reader import open_video


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
    results = []
    for data in (square_data, tmp_path / "wide.json"):
        torch.manual_seed(0)
        material = prepare(
            TrainSettings(
                data=str(data),
                root=str(square_data.parent),
                out=str(tmp_path / "run"),
                model="yolox_nano",
                weights="random",
                width_px=96,
                height_px=32,
            ),
            torch.device("cpu"),
            lambda *_: None,
        )
        module = material.module.eval()
        for parameter in module.parameters():  # so that something is found
            parameter.data.normal_(0, 0.3)
        assert material.validation is not None
        results.append(validate(module, material.card, material.validation, num_shown=1))
    one, two = (result.shown[0].found.boxes_xyxy for result in results)
    assert len(one) > 20
    assert np.allclose(one, two, atol=1e-3)
    assert results[0].result.overall.ap == results[1].result.overall.ap


def test_heads_keep_known_classes_by_name() -> None:
    module, card = build_network("yolox_nano", weights="random")
    from vodkit.detect.networks import for_classes

    fresh, changed = for_classes(module, card, ("truck", "fly"))
    old = card.classes.index("truck")
    for mine, theirs in zip(fresh.head.cls_preds, module.head.cls_preds, strict=True):
        assert torch.equal(mine.weight[0], theirs.weight[old])
    assert changed.classes == ("truck", "fly")
