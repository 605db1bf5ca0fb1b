"""``vodkit detect``: videos in, boxes out, without identities."""

from dataclasses import replace

from vodkit.cli import options
from vodkit.fleet.settings import FleetSettings
from vodkit.infer.settings import NO_TRACKER, InferSettings, RollSettings


@options.with_settings(
    without=("tracker", "tracker_settings", "after", "cuts", "lines", "zones", "events"),
    every="Detect in every n-th frame.",
)
def detect(
    sources: list[str] = options.SOURCES,
    *,
    wanted: InferSettings,
    out: str = options.OUT_OR_URL,
    video: bool = options.VIDEO,
    csv: bool = options.CSV,
    mot: bool = options.MOT,
    coco: bool = options.COCO,
    roll: RollSettings,
    fleet: FleetSettings,
    resume: bool = options.RESUME,
    overwrite: bool = options.OVERWRITE,
    threads: int = options.THREADS,  # noqa: ARG001 - its callback sets it
    as_json: bool = options.JSON,
) -> None:
    """Detect objects in videos. Each source gets a run folder.

    Example: vodkit detect plaza.mp4 --csv
    """
    from vodkit.cli.run import run_sources

    chosen = {"csv": csv, "mot": mot, "coco": coco, "video": video}
    run_sources(
        sources,
        replace(wanted, tracker=NO_TRACKER),
        roll,
        fleet,
        out=out,
        exports=[name for name, on in chosen.items() if on],
        resume=resume,
        overwrite=overwrite,
        as_json=as_json,
    )
