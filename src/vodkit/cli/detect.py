"""``vodkit detect``: videos in, boxes out, without identities."""

from dataclasses import replace

from vodkit.cli import options
from vodkit.fleet.settings import FleetSettings
from vodkit.infer.settings import NO_TRACKER, InferSettings, OutputSettings, RollSettings


@options.with_settings(
    without=(
        "tracker", "tracker_settings", "after", "cuts", "lines", "zones", "events",
        "include_predicted", "segments", "continues",
    ),
    every="Detect in every n-th frame.",
)  # fmt: skip
def detect(
    sources: list[str] = options.SOURCES,
    *,
    wanted: InferSettings,
    output: OutputSettings,
    roll: RollSettings,
    fleet: FleetSettings,
    threads: int = options.THREADS,  # noqa: ARG001 - its callback sets it
    as_json: bool = options.JSON,
) -> None:
    """Detect objects in videos. Each source gets a run folder.

    Example: vodkit detect plaza.mp4 --csv
    """
    from vodkit.cli.run import run_sources

    wanted = replace(wanted, tracker=NO_TRACKER)
    run_sources(sources, wanted, output, roll, fleet, as_json=as_json)
