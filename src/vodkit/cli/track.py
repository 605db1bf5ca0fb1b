"""``vodkit track``: videos in, tracked objects out."""

from pathlib import Path

import typer

from vodkit.cli import options


def track(
    sources: list[str] = options.SOURCES,
    model: str = options.MODEL,
    tracker: str = typer.Option("vodkit", "--tracker", "-t", help="Name of a tracker."),
    tracker_set: list[str] = typer.Option(
        [], "--set", help="A tracker setting, name=value (repeatable); 'help' lists all."
    ),
    out: Path = options.OUT,
    score_threshold: float = options.SCORE,
    every: str = options.PACE,
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
    after: Path | None = options.AFTER,
    segments: bool = options.SEGMENTS,
    lenient: bool = options.LENIENT,
    resume: bool = options.RESUME,
    overwrite: bool = options.OVERWRITE,
    as_json: bool = options.JSON,
) -> None:
    """Detect and track objects in videos. Each source gets a run folder.

    Cameras and streams are tracked at the same time, until they end or Ctrl-C.

    Example: vodkit track plaza.mp4 --video --csv
    """
    from vodkit.cli.progress import run_all
    from vodkit.ground import process
    from vodkit.infer.flow import FlowSettings
    from vodkit.infer.live import RollSettings
    from vodkit.infer.run import JobSettings, looks_at_crops
    from vodkit.video.reader import is_live

    process.settle()
    flow = FlowSettings(
        **options.pace(every),
        batch_size=batch_size,
        strict=not lenient,
        full_size=bool(tiles) or looks_at_crops(appearance),
    )
    wanted = JobSettings(
        model=model,
        tracker=tracker,
        tracker_settings=tuple(tracker_set),
        score_threshold=score_threshold,
        runtime=runtime,
        device=device,
        tiles=tiles,
        appearance=appearance or None,
        after=None if after is None else str(after),
        flow=flow,
    )
    chosen = {"video": video, "csv": csv, "mot": mot, "coco": coco}
    if any(is_live(source) for source in sources) or roll_s or keep:
        from vodkit.cli.live import run_live_sources

        refuse = {"--video": video, "--lenient": lenient}
        refuse |= {"--after": after is not None, "--segments": segments}
        run_live_sources(
            sources,
            wanted,
            out=out,
            roll=RollSettings(roll_s=roll_s, keep=keep),
            outputs=[name for name, on in chosen.items() if on],
            refused=[name for name, on in refuse.items() if on],
            resume=resume,
            overwrite=overwrite,
            as_json=as_json,
        )
        return
    run_all(
        sources,
        wanted,
        out=out,
        outputs=[name for name, on in chosen.items() if on],
        segments=segments,
        resume=resume,
        overwrite=overwrite,
        as_json=as_json,
    )
