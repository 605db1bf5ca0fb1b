"""VID's protocols and speeds against the reference programs' own numbers; Pascal VOC."""

import json

import numpy as np
import pytest

from metric_scenes import columns, no_boxes, table, video
from vodkit.ground.errors import SettingsError
from vodkit.ground.records import Dataset
from vodkit.metrics.clips import make_clips
from vodkit.metrics.detection.ap import average_precision
from vodkit.metrics.detection.columns import BoxColumns
from vodkit.metrics.detection.precision_recall import curve, eleven_point_ap
from vodkit.metrics.detection.vid import (
    VidScores,
    evaluate_vid,
    motion_iou,
    speed_shares,
    vid_average_precision,
    vid_by_speed,
)
from vodkit.metrics.detection.voc import voc_average_precision

CASES = ("random4", "protocol_split")
FILES = {"vid-devkit": "devkit_ap50", "mega": "mega_ap50"}
RULES = {"fgfa": "devkit_motion", "mega": "mega_motion"}


class Case:
    """A CocoVID truth, detections and the numbers that the reference programs give."""

    def __init__(self, folder):
        self.truth, found, self.expected = (
            json.loads((folder / f"{name}.json").read_text()) for name in ("gt", "dt", "expected")
        )
        ids = [entry["id"] for entry in self.truth["categories"]]
        self.classes = tuple(str(number) for number in ids)
        self.frames = {image["id"]: k for k, image in enumerate(self.truth["images"])}
        notes = sorted(self.truth["annotations"], key=lambda a: self.frames[a["image_id"]])
        self.note_ids = [a["id"] for a in notes]
        boxes = np.array([a["bbox"] for a in notes], float).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        self.columns = BoxColumns(
            images=[self.frames[a["image_id"]] for a in notes],
            boxes_xyxy=boxes,
            labels=[ids.index(a["category_id"]) for a in notes],
            areas=[a["area"] for a in notes],
        )
        self.found = BoxColumns(
            images=[self.frames[a["image_id"]] for a in found],
            boxes_xyxy=[a["box"] for a in found],
            labels=[ids.index(a["category_id"]) for a in found],
            scores=[a["score"] for a in found],
        )
        self.motion = self._motion(notes, boxes)

    def _motion(self, notes, boxes):
        images = {image["id"]: image for image in self.truth["images"]}
        values = np.full(len(notes), np.nan)
        for number in {image["video_id"] for image in images.values()}:
            rows = [k for k, a in enumerate(notes) if images[a["image_id"]]["video_id"] == number]
            frames = [images[notes[k]["image_id"]]["frame_id"] for k in rows]
            keys = [(f, notes[k]["instance_id"]) for f, k in zip(frames, rows, strict=True)]
            one = table([(*key, *boxes[k]) for key, k in zip(keys, rows, strict=True)])
            names = zip(one.frames.tolist(), one.ids.tolist(), strict=True)
            order = dict(zip(names, motion_iou(one), strict=True))
            values[rows] = [order[key] for key in keys]
        return values


@pytest.fixture(params=CASES, scope="module")
def case(request, shared_data):
    return Case(shared_data / "reference" / "vid" / request.param)


def test_coco_numbers(case):
    result = average_precision(
        case.columns, case.found, num_images=len(case.frames), classes=case.classes
    )
    expected = case.expected["coco"]["stats"]
    names = {"AP": "ap", "AP50": "ap50", "AP75": "ap75", "APs": "ap_small", "APm": "ap_medium",
             "APl": "ap_large", "AR1": "ar1", "AR10": "ar10", "AR100": "ar100",
             "ARs": "ar_small", "ARm": "ar_medium", "ARl": "ar_large"}  # fmt: skip
    for theirs, ours in names.items():
        value = getattr(result.overall, ours)
        assert (-1.0 if value is None else value) == pytest.approx(expected[theirs], abs=1e-9)


@pytest.mark.parametrize("protocol", FILES)
def test_protocols_equal_the_reference_programs(case, protocol):
    expected = case.expected[FILES[protocol]]
    scores = vid_average_precision(
        case.columns, case.found, classes=case.classes, protocol=protocol
    )
    assert scores.ap50 == pytest.approx(expected["mAP"], abs=1e-9)
    assert scores.per_class == pytest.approx(expected["per_class"], abs=1e-9)
    assert scores.num_truth == expected["npos"]


def test_motion_iou_equals_the_reference(case):
    for number, value in zip(case.note_ids, case.motion, strict=True):
        expected = case.expected["motion_iou"][str(number)]
        assert np.isnan(value) if expected == "NaN" else value == pytest.approx(expected, abs=1e-9)
    assert speed_shares(case.motion) == pytest.approx(case.expected["share"])


@pytest.mark.parametrize("rule", RULES)
def test_speeds_equal_the_reference_programs(case, rule):
    scores = vid_by_speed(
        case.columns,
        case.found,
        case.motion,
        num_images=len(case.frames),
        classes=case.classes,
        rule=rule,
    )
    for speed, expected in case.expected[RULES[rule]].items():
        assert scores[speed].num_truth == expected["npos"]
        mean = expected["mAP"]
        if mean == "NaN":
            assert scores[speed].ap50 is None
        else:
            assert scores[speed].ap50 == pytest.approx(mean, abs=1e-9)
            assert scores[speed].per_class == pytest.approx(expected["per_class"], abs=1e-9)


def test_one_file_has_three_numbers_of_the_same_name(shared_data):
    case = Case(shared_data / "reference" / "vid" / "protocol_split")
    coco = average_precision(
        case.columns, case.found, num_images=len(case.frames), classes=case.classes
    ).overall.ap50
    others = [
        vid_average_precision(case.columns, case.found, classes=case.classes, protocol=p).ap50
        for p in FILES
    ]
    assert [round(value, 3) for value in (coco, *others)] == [0.064, 0.688, 0.562]


def test_without_truth_nothing_is_defined(shared_data):
    case = Case(shared_data / "reference" / "vid" / "no_gt")
    for protocol in FILES:
        scores = vid_average_precision(
            case.columns, case.found, classes=case.classes, protocol=protocol
        )
        assert scores.ap50 is None
    assert speed_shares(case.motion)["fast"] is None
    assert voc_average_precision(case.columns, case.found, classes=case.classes).ap_area is None


def test_wrong_names_and_lengths_are_refused():
    empty = no_boxes()
    with pytest.raises(SettingsError, match="vid-devkit"):
        vid_average_precision(empty, empty, classes=("a",), protocol="devkit")
    with pytest.raises(SettingsError, match="motion has 2 rows"):
        vid_by_speed(empty, empty, np.zeros(2), num_images=1, classes=("a",))


def test_motion_looks_ten_frames_far_and_within_one_track():
    rows = [(0, 1, 0, 0, 9, 9), (10, 1, 0, 0, 9, 9), (21, 1, 0, 0, 9, 9), (0, 2, 0, 0, 9, 9)]
    motion = motion_iou(table(rows))
    assert motion[:1].tolist() == [1.0]
    assert np.isnan(motion[1])
    assert motion[2] == 1.0
    assert np.isnan(motion[3])


def test_mega_prefers_a_wanted_truth_box_of_equal_overlap():
    truth = BoxColumns(images=[0, 0], boxes_xyxy=[[0, 0, 9, 9]] * 2, labels=[0, 0])
    found = BoxColumns(images=[0], boxes_xyxy=[[0, 0, 9, 9]], labels=[0], scores=[0.9])
    for motion in ([0.5, 0.95], [0.95, 0.5]):
        scores = vid_by_speed(
            truth, found, np.array(motion), num_images=1, classes=("a",), rule="mega"
        )
        assert scores["slow"].ap50 == 1.0


def test_voc_has_no_second_best():
    truth = BoxColumns(images=[0, 0], boxes_xyxy=[[0, 0, 19, 19], [4, 0, 23, 19]], labels=[0, 0])
    found = BoxColumns(
        images=[0, 0], boxes_xyxy=[[1, 0, 20, 19]] * 2, labels=[0, 0], scores=[0.9, 0.8]
    )
    assert voc_average_precision(truth, found, classes=("a",)).ap_area == 0.5
    assert average_precision(truth, found, num_images=1, classes=("a",)).overall.ap50 == 1.0


def test_voc_difficult_objects_do_not_count():
    truth = BoxColumns(
        images=[0, 0], boxes_xyxy=[[0, 0, 19, 19], [50, 0, 69, 19]], labels=[0, 0],
        ignore=[True, False],
    )  # fmt: skip
    found = BoxColumns(
        images=[0, 0], boxes_xyxy=[[0, 0, 19, 19], [50, 0, 69, 19]], labels=[0, 0],
        scores=[0.9, 0.8],
    )  # fmt: skip
    result = voc_average_precision(truth, found, classes=("a",))
    assert (result.ap_area, result.ap_11_point) == (1.0, 1.0)


def test_voc_eleven_points_by_hand():
    """Right, wrong, right of 2 objects: precision 1 up to recall .5, then 2/3."""
    truth = BoxColumns(images=[0, 0], boxes_xyxy=[[0, 0, 9, 9], [50, 0, 59, 9]], labels=[0, 0])
    found = BoxColumns(
        images=[0] * 3, boxes_xyxy=[[0, 0, 9, 9], [90, 0, 99, 9], [50, 0, 59, 9]], labels=[0] * 3,
        scores=[0.9, 0.8, 0.7],
    )  # fmt: skip
    result = voc_average_precision(truth, found, classes=("a",))
    assert result.ap_area == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert result.ap_11_point == pytest.approx((6 + 5 * 2 / 3) / 11)


def test_protocols_stand_side_by_side():
    truth = table([(0, 1, 0, 0, 10, 10), (1, 1, 0, 0, 10, 10)])
    dataset = Dataset(classes=("a",), videos=(video("v", truth, num_frames=2),))
    clips = make_clips(dataset, {"v": truth})
    coco = VidScores(ap50=1.0, per_class={"a": 1.0}, num_truth={"a": 2})
    result = evaluate_vid(clips, ("a",), coco_ap50=coco)
    assert [scores.ap50 for scores in result.protocols.values()] == [1.0, 1.0, 1.0]
    assert result.by_speed["fgfa"]["slow"].ap50 == 1.0
    assert result.by_speed["fgfa"]["fast"].ap50 is None


def test_protocols_agree_where_they_must():
    """Without small objects and near-threshold boxes all definitions see the same matches."""
    truth, _ = columns(np.random.default_rng(1), crowds=0.0)
    for protocol in FILES:
        scores = vid_average_precision(
            truth, truth, classes=("class0", "class1", "class2"), protocol=protocol
        )
        assert scores.ap50 == pytest.approx(1.0)


@pytest.mark.parametrize("tenths", range(1, 11))
def test_a_recall_on_a_point_of_the_eleven_counts(tenths):
    """30 of 50 found is recall 0.6, and reaches the point 0.6, however floats round."""
    num_right = 5 * tenths
    recall, precision = curve(np.ones(num_right), np.zeros(num_right), 50)
    assert eleven_point_ap(recall, precision) == pytest.approx((tenths + 1) / 11)
