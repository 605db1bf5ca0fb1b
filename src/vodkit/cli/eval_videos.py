"""What ``vodkit eval`` reads videos for: leaks between splits, and frames of low quality."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vodkit.data.low_quality import LowQuality
    from vodkit.ground.records import Dataset

LOW_QUALITY = "low_quality.json"


def audit(labels: "Dataset") -> tuple[str, tuple[str, ...]]:
    """What the audit found, in a line, and every leak in words."""
    from vodkit.data.audit.audit import AuditSettings
    from vodkit.data.audit.audit import audit as run
    from vodkit.data.audit.findings import in_a_line, leak_lines

    found = run(labels, labels.root, settings=AuditSettings()).findings
    leaks = leak_lines(found)
    return f"leaks between splits: {len(leaks)}; {in_a_line(found)}", leaks


def low_quality(
    wanted: str, dataset: "Dataset", folder: Path
) -> "tuple[LowQuality | None, tuple[str, ...]]":
    """The frames of low quality, if wanted; measured ones are written to the folder."""
    from vodkit.data import low_quality as frames
    from vodkit.formats.base import are_stills

    if wanted == "off":
        return None, ()
    if wanted != "measure":
        return frames.read_low_quality(Path(wanted), dataset), ()
    if are_stills(dataset):
        return None, ("low-quality frames: pictures have no frames around them to compare with",)
    found, notes = frames.measure_low_quality(dataset, dataset.root)
    if not found:
        return None, notes
    frames.write_low_quality(found, folder / LOW_QUALITY)
    return found, notes
