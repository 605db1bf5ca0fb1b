"""Options that several commands share, so that they are the same words everywhere."""

from pathlib import Path
from typing import Any

import typer

from vodkit.ground.errors import SettingsError

SOURCES = typer.Argument(
    ...,
    help="Video files, folders of images, 'glob*.jpg', camera numbers, rtsp:// or http:// URLs.",
)
MODEL = typer.Option(
    "vodkit-street", "--model", "-m", help="A name (see `vodkit models`) or a path of weights."
)
OUT = typer.Option(Path("runs"), "--out", "-o", help="Folder; each source gets its own in it.")
SCORE = typer.Option(0.05, "--score-threshold", help="Detections below are not kept.")
EVERY = typer.Option(1, "--every", help="Look at every n-th frame.")
PACE = typer.Option(
    "1",
    "--every",
    help="Look at every n-th frame; auto: at key frames chosen by motion, and fill between.",
)
BATCH = typer.Option(8, "--batch-size", help="Frames given to the detector at once.")
RUNTIME = typer.Option(
    "auto",
    "--runtime",
    help="auto (the fastest that says the same), openvino, onnx, torch, compile, cuda, cuda-amp,"
    " openvino-bf16.",
)
DEVICE = typer.Option("auto", "--device", help="auto, cpu, cuda, cuda:1, ...")
APPEARANCE = typer.Option(
    "",
    "--appearance",
    help="Looks, kept beside the boxes: colour, roi, a trained head, or an OSNet file.",
)
VIDEO = typer.Option(False, "--video", help="Also write annotated.mp4.")
CSV = typer.Option(False, "--csv", help="Also write predictions.csv.")
MOT = typer.Option(False, "--mot", help="Also write MOTChallenge lines.")
COCO = typer.Option(False, "--coco", help="Also write COCO results.")
TILES = typer.Option("", "--tiles", help="For small objects: auto, or columns x rows as 3x2.")
ROLL_S = typer.Option(
    0.0, "--roll-s", help="Live sources: a new file of predictions every so many seconds."
)
KEEP = typer.Option(0, "--keep", help="With --roll-s: keep the last so many; 0: all.")
LENIENT = typer.Option(False, "--lenient", help="Go on after frames that cannot be decoded.")
AFTER = typer.Option(
    None, "--after", help="Run folder of the file before this one: its tracks go on."
)
SEGMENTS = typer.Option(
    False, "--segments", help="The sources are one recording, in this order: ids go on."
)
RESUME = typer.Option(False, "--resume", help="Go on with a run that was stopped.")
OVERWRITE = typer.Option(False, "--overwrite", help="Throw away an earlier run's results.")
JSON = typer.Option(False, "--json", help="Print results for machines.")


def pace(every: str) -> dict[str, Any]:
    """The word after ``--every`` as settings of the flow."""
    if every == "auto":
        return {"sparse": True}
    if not every.isdecimal():
        raise SettingsError(f"--every is {every!r}; allowed: auto, or a whole number from 1")
    return {"every": int(every)}
