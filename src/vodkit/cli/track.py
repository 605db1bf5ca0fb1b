"""``vodkit track``: videos in, tracked objects out."""

from vodkit.cli import options
from vodkit.fleet.settings import FleetSettings
from vodkit.infer.settings import InferSettings, OutputSettings, RollSettings
from vodkit.serve.settings import OutletSettings


@options.with_settings()
def track(
    sources: list[str] = options.SOURCES,
    *,
    wanted: InferSettings,
    output: OutputSettings,
    roll: RollSettings,
    outlets: OutletSettings,
    fleet: FleetSettings,
    threads: int = options.THREADS,  # noqa: ARG001 - its callback sets it
    as_json: bool = options.JSON,
) -> None:
    """Detect and track objects in videos. Each source gets a run folder.

    Cameras and streams are tracked at the same time, until they end or Ctrl-C.

    Example: vodkit track plaza.mp4 --video --csv
    """
    from vodkit.cli.run import run_sources

    run_sources(sources, wanted, output, roll, fleet, outlets, as_json=as_json)
