"""Where the tests put label files: some formats are known by the ending of a file's name."""

from pathlib import Path

from vodkit.formats.table import FORMATS

SUFFIXES = {
    "cocovid": ".json", "coco": ".json", "datumaro": ".json", "label_studio": ".json",
    "scalabel": ".json", "youtube_vis": ".json", "tao": ".json", "predictions": ".jsonl",
}  # fmt: skip
ONE_VIDEO = {
    "predictions",
    *(name for name, module in FORMATS.items() if getattr(module, "ONE_VIDEO", False)),
}
"""formats whose file holds one video"""


def place(name: str, folder: Path, stem: str = "labels") -> Path:
    """The file or folder that a dataset in a format of this name is written to."""
    return folder / f"{stem}{SUFFIXES.get(name) or getattr(FORMATS.get(name), 'SUFFIX', '')}"
