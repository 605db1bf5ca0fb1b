"""What every command is tried with: once right, once wrong. One entry a command."""

from collections.abc import Sequence
from dataclasses import dataclass

FAST = ("--runtime", "torch", "--batch-size", "1")
TRAINED = ("--data", "labels.json", "--out", "trained", "--epochs", "2", "--batch-size", "2",
           "--set", "workers=0", "--set", "cache_views=1", "--set", "val_every=2")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Words for one command, in a folder like that of ``conftest.World``."""

    right: Sequence[str]
    """ends with exit code 0"""
    shows: Sequence[str]
    """what is on the screen then"""
    wrong: Sequence[str]
    """ends with exit code 2, and one message"""
    message: Sequence[str]
    """parts of it"""
    is_long: bool = False
    """whether it works for seconds: then with a bar, and fewer variations are tried"""
    ends_by_ctrl_c: bool = False
    """whether Ctrl-C is its usual end, with exit code 0"""
    stop_when: str = ""
    """what is on the screen when Ctrl-C is pressed; empty: it is over too soon for that"""


SCENES: dict[str, Scene] = {
    "demo": Scene(
        right=(),
        shows=("next: vodkit track",),
        wrong=("--set", "epochs=many"),
        message=("setting epochs is 'many'", "allowed: int"),
        is_long=True,
        stop_when=r"1/5 ",
    ),
    "data sample": Scene(
        right=("test.mp4", "-o", "sampled", "--frames", "2", "--classes", "cup"),
        shows=("test.mp4", "2 pictures", "vodkit data import LABELS"),
        wrong=("test.mp4", "-o", "sampled", "--frames", "0"),
        message=("frames", "0", "allowed"),
    ),
    "data prelabel": Scene(
        right=("test.mp4", "-o", "pre", *FAST),
        shows=("test.mp4: ", "labels: pre", "vodkit data import pre"),
        wrong=("test.mp4", "-o", "pre", "-f", "cvta"),
        message=("unknown label format 'cvta'", "cvat"),
        is_long=True,
        stop_when=r"[1-9]\d*/8 ",
    ),
    "data import": Scene(
        right=("labels.json", "-o", "again.json"),
        shows=("labels.json -> again.json", "videos: 3", "next: vodkit data audit again.json"),
        wrong=("nothing.txt", "-o", "again.json"),
        message=("nothing.txt", "no such file"),
    ),
    "data audit": Scene(
        right=("labels.json", "--labels-only"),
        shows=("nothing found",),
        wrong=("nothing.json",),
        message=("nothing.json", "no such file"),
    ),
    "data split": Scene(
        right=("labels.json", "-o", "split.json", "--val", "0.3"),
        shows=("train", "val", "next: vodkit train --data split.json"),
        wrong=("labels.json", "-o", "split.json", "--by", "weather"),
        message=("weather", "video"),
    ),
    "data stats": Scene(
        right=("labels.json",),
        shows=("person", "test.mp4"),
        wrong=("labels.json", "-f", "coc"),
        message=("unknown label format 'coc'", "coco"),
    ),
    "data preview": Scene(
        right=("labels.json", "--frames", "1"),
        shows=("preview/train.png", "preview/test.png"),
        wrong=("labels.json", "--columns", "0"),
        message=("columns 0", "allowed: 1 or more"),
    ),
    "data export": Scene(
        right=("labels.json", "-f", "mot", "-o", "mot", "--no-pictures"),
        shows=("labels.json -> mot (mot)",),
        wrong=("labels.json", "-f", "mto", "-o", "mot"),
        message=("unknown label format 'mto'", "mot"),
    ),
    "models": Scene(
        right=(),
        shows=("vodkit-street", "Apache-2.0", "ssdlite320_mobilenet_v3_large"),
        wrong=("--trust", "nothing.pt2"),
        message=("nothing.pt2", "allowed"),
    ),
    "train": Scene(
        right=TRAINED,
        shows=("epoch 2 of 2", "AP", "vodkit track my_video.mp4"),
        wrong=("--data", "labels.json", "--out", "trained", "--set", "lr=-1"),
        message=("lr is -1", "allowed: above 0"),
        is_long=True,
        stop_when=r"[1-9]\d*/\d+ ",
    ),
    "detect": Scene(
        right=("test.mp4", "-o", "runs", *FAST),
        shows=("test.mp4", "runs/test/predictions.jsonl", "frames in", "found: person",
               "vodkit track test.mp4"),
        wrong=("nothing.mp4", "-o", "runs"),
        message=("nothing.mp4: no such file or folder",),
        is_long=True,
        stop_when=r"[1-9]\d*/8 ",
    ),
    "track": Scene(
        right=("test.mp4", "-o", "runs", *FAST, "--csv"),
        shows=("test.mp4", "runs/test/predictions.jsonl", "runs/test/predictions.csv",
               "frames in", "found: person", "rows: ", "vodkit refine runs/test"),
        wrong=("test.mp4", "-o", "runs", "--tracker", "bytetrak"),
        message=("unknown tracker 'bytetrak'", "bytetrack"),
        is_long=True,
        stop_when=r"[1-9]\d*/8 ",
    ),
    "refine": Scene(
        right=("tracked/test",),
        shows=("tracks", "tracked/test/refined.jsonl"),
        wrong=("tracked/test", "--set", "fill=1"),
        message=("unknown setting 'fill'", "fill_s"),
    ),
    "review": Scene(
        right=("test.mp4", "-o", "review.json", "--model", "none", "--no-browser"),
        shows=("open: http://",),
        wrong=("nothing.mp4", "--model", "none", "--no-browser"),
        message=("nothing.mp4",),
        stop_when=r"open:\s+http",
        ends_by_ctrl_c=True,
    ),
    "show": Scene(
        right=("tracked/test", "--speed", "--source", "test.mp4"),
        shows=("median px/s", "tracked/test/shown/speed.csv"),
        wrong=("tracked/test",),
        message=("--heatmap", "--crops"),
    ),
    "count": Scene(
        right=("tracked/test", "--line", "door=300,0,300,576"),
        shows=("door", " in, ", " out"),
        wrong=("tracked/test",),
        message=("--line", "--zone"),
    ),
    "tune": Scene(
        right=("detected/test", "--trials", "40"),
        shows=("consistency", "no camera motion, no colours on record"),
        stop_when=r"[1-9]/40 trials",
        wrong=("detected/test", "--split", "test"),
        message=("--truth",),
    ),
    "eval": Scene(
        right=("labels.json", "tracked/test", "--split", "test", "--no-report",
               "--set", "bootstrap.resamples=20"),
        shows=("metric", "HOTA", "videos: 1"),
        wrong=("labels.json", "tracked/test", "--split", "tset"),
        message=("tset", "test"),
    ),
    "compare": Scene(
        right=("evaluated", "evaluated-too"),
        shows=("metric", "HOTA", "evaluated-too"),
        wrong=("evaluated", "nowhere"),
        message=("nowhere",),
    ),
    "export": Scene(
        right=("vodkit-street", "street.onnx", "--frames", "test.mp4", "--num-frames", "1"),
        shows=("street.onnx", "certificate"),
        wrong=("vodkit-street", "street.onnx"),
        message=("--frames", "--data"),
        is_long=True,
    ),
    "bench": Scene(
        right=("test.mp4", "-m", "vodkit-street", "--runtime", "torch", "--seconds", "0.01",
               "--turns", "1"),
        shows=("vodkit-street", "torch", "detect/s"),
        wrong=("test.mp4", "--runtime", "trch"),
        message=("unknown runtime 'trch'", "torch"),
        is_long=True,
    ),
    "doctor": Scene(
        right=("labels.json",),
        shows=("labels.json",),
        wrong=("nothing.json",),
        message=("nothing.json", "does not exist"),
    ),
    "events": Scene(
        right=("tracked/test", "--line", "door=300,0,300,576"),
        shows=('"event"',),
        wrong=("nothing",),
        message=("nothing",),
    ),
    "runs ls": Scene(
        right=("tree",),
        shows=("tree: 1 videos: 1 done", "8 frames are done"),
        wrong=("nothing",),
        message=("nothing", "no run is in it"),
    ),
    "runs resume": Scene(
        right=("tree",),
        shows=("1 done, 0 to do",),
        wrong=("nothing",),
        message=("nothing",),
    ),
    "serve": Scene(
        right=("--runtime", "torch", "--port", "0"),
        shows=("serving: http://", "token: "),
        wrong=("--tracker", "bytetrak"),
        message=("unknown tracker 'bytetrak'", "bytetrack"),
        stop_when=r"token:\s+\S",
        ends_by_ctrl_c=True,
    ),
}  # fmt: skip
