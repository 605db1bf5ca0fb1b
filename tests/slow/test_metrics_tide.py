"""TIDE's counts and costs are those of ``tidecv`` 1.0.1, ties of score included."""

import importlib
import sys
import types
import warnings

import numpy as np
import pytest

from metric_scenes import columns
from vodkit.ground.boxes import to_xywh
from vodkit.metrics.detection.columns import BoxColumns
from vodkit.metrics.detection.errors import find_errors, summarise_errors

pytestmark = pytest.mark.slow
NAMES = {"class": "Cls", "localisation": "Loc", "both": "Both", "duplicate": "Dupe",
         "background": "Bkg", "missed": "Miss"}  # fmt: skip


@pytest.fixture(scope="module")
def tide():
    """``tidecv`` without what its plots and downloads need (seaborn, pandas, appdirs)."""
    plots, datasets = types.ModuleType("tidecv.plotting"), types.ModuleType("tidecv.datasets")
    plots.Plotter = lambda: None
    left_out = {"tidecv.plotting": plots, "tidecv.datasets": datasets}
    sys.modules.update(left_out)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield importlib.import_module("tidecv")
        except ImportError as error:
            pytest.skip(f"tidecv cannot be imported: {error}")
    for name in [one for one in sys.modules if one.partition(".")[0] == "tidecv"]:
        del sys.modules[name]


def untied(columns_, rng):
    """The same boxes with scores of which no two are equal."""
    scores = rng.permutation(len(columns_)) / max(1, len(columns_))
    return BoxColumns(
        images=columns_.images, boxes_xyxy=columns_.boxes_xyxy, labels=columns_.labels,
        scores=scores,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("ties", [False, True])
def test_counts_and_costs_equal_tidecv(tide, seed, ties):
    rng = np.random.default_rng(seed)
    truth, found = columns(rng, crowds=0.0, num_images=12)
    found = found if ties else untied(found, rng)
    theirs = tide_run(tide, truth, found)
    ours = summarise_errors(find_errors(truth, found), found, num_classes=3)
    main, special = theirs.fix_main_errors(), theirs.fix_special_errors()
    counts = theirs.count_errors()
    assert ours.ap50 == pytest.approx(theirs.ap / 100, abs=1e-9)
    for kind, value in main.items():
        name = next(mine for mine, short in NAMES.items() if short == kind.short_name)
        assert ours.counts[name] == counts[kind]
        assert ours.ap_loss[name] == pytest.approx(value / 100, abs=1e-9), name
    by_name = {kind.short_name: value / 100 for kind, value in special.items()}
    assert ours.false_alarm_ap_loss == pytest.approx(by_name["FalsePos"], abs=1e-9)
    assert ours.miss_ap_loss == pytest.approx(by_name["FalseNeg"], abs=1e-9)


def tide_run(tide, truth, found):
    there, seen = tide.Data("truth"), tide.Data("found")
    boxed, found_boxes = to_xywh(truth.boxes_xyxy), to_xywh(found.boxes_xyxy)
    for image, label, box in zip(truth.images, truth.labels, boxed, strict=True):
        there.add_ground_truth(int(image), int(label), box.tolist())
    rows = zip(found.images, found.labels, found.scores, found_boxes, strict=True)
    for image, label, score, box in rows:
        there.add_image(int(image), str(image))
        seen.add_detection(int(image), int(label), float(score), box.tolist())
    return tide.TIDE().evaluate(there, seen, mode="bbox")
