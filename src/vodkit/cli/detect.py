"""``vodkit detect``: videos in, boxes out, without identities."""

from pathlib import Path

from vodkit.cli import options
from vodkit.cli.track import track


def detect(
    sources: list[str] = options.SOURCES,
    model: str = options.MODEL,
    out: Path = options.OUT,
    score_threshold: float = options.SCORE,
    every: int = options.EVERY,
    batch_size: int = options.BATCH,
    runtime: str = options.RUNTIME,
    device: str = options.DEVICE,
    tiles: str = options.TILES,
    appearance: str = options.APPEARANCE,
    video: bool = options.VIDEO,
    csv: bool = options.CSV,
    mot: bool = options.MOT,
    coco: bool = options.COCO,
    roll_s: float = options.ROLL_S,
    keep: int = options.KEEP,
    lenient: bool = options.LENIENT,
    resume: bool = options.RESUME,
    overwrite: bool = options.OVERWRITE,
    as_json: bool = options.JSON,
) -> None:
    """Detect objects in videos. Each source gets a run folder.

    Example: vodkit detect plaza.mp4 --csv
    """
    track(
        sources,
        model=model,
        tracker="none",
        tracker_set=[],
        out=out,
        score_threshold=score_threshold,
        every=str(every),
        batch_size=batch_size,
        runtime=runtime,
        device=device,
        tiles=tiles,
        appearance=appearance,
        video=video,
        csv=csv,
        mot=mot,
        coco=coco,
        roll_s=roll_s,
        keep=keep,
        after=None,
        segments=False,
        lenient=lenient,
        resume=resume,
        overwrite=overwrite,
        as_json=as_json,
    )
