"""``vodkit track``: videos in, tracked objects out."""

from vodkit.cli import options
from vodkit.fleet.settings import FleetSettings
from vodkit.infer.settings import InferSettings, RollSettings
from vodkit.serve.settings import OutletSettings


@options.with_settings()
def track(
    sources: list[str] = options.SOURCES,
    *,
    wanted: InferSettings,
    out: str = options.OUT_OR_URL,
    video: bool = options.VIDEO,
    csv: bool = options.CSV,
    mot: bool = options.MOT,
    coco: bool = options.COCO,
    include_predicted: bool = options.PREDICTED,
    roll: RollSettings,
    outlets: OutletSettings,
    fleet: FleetSettings,
    segments: bool = options.SEGMENTS,
    continues: bool = options.CONTINUES,
    resume: bool = options.RESUME,
    overwrite: bool = options.OVERWRITE,
    threads: int = options.THREADS,  # noqa: ARG001 - its callback sets it
    as_json: bool = options.JSON,
) -> None:
    """Detect and track objects in videos. Each source gets a run folder.

    Cameras and streams are tracked at the same time, until they end or Ctrl-C.

    Example: vodkit track plaza.mp4 --video --csv
    """
    from vodkit.cli.run import run_sources

    chosen = {"csv": csv, "mot": mot, "coco": coco, "video": video}
    run_sources(
        sources,
        wanted,
        roll,
        fleet,
        outlets,
        out=out,
        exports=[name for name, on in chosen.items() if on],
        include_predicted=include_predicted,
        segments=segments,
        continues=continues,
        resume=resume,
        overwrite=overwrite,
        as_json=as_json,
    )
