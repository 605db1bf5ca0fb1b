"""Speeds of tracks as CSV."""

from collections.abc import Sequence
from pathlib import Path

from vodkit.ground.csv_tables import write_csv
from vodkit.track.speed import Speeds, TrackSpeed


def write_speeds(speeds: Speeds, classes: Sequence[str], path: Path) -> None:
    """One line for each sighting with a speed; the columns' names carry the unit."""
    unit = speeds.unit.replace("/", "_per_")
    titles = ["frame", "time_s", "id", "class", f"speed_{unit}", f"low_{unit}", f"high_{unit}"]
    rows = zip(
        speeds.frames.tolist(),
        (f"{time_s:.6f}" for time_s in speeds.times_s),
        speeds.ids.tolist(),
        (classes[label] for label in speeds.labels),
        *(
            (f"{value:.4f}" for value in values)
            for values in (speeds.speed, speeds.low, speeds.high)
        ),
        speeds.num_seen.tolist(),
        speeds.extrapolated.astype(int).tolist(),
        strict=True,
    )
    write_csv(path, [*titles, "sightings", "extrapolated"], rows)


def shown(one: TrackSpeed, classes: Sequence[str]) -> list[str]:
    """A row of a table for people: a track, its times, and its speed with its interval."""
    speed = f"{one.median:.3g} ({one.low:.3g} to {one.high:.3g})"
    if one.low == 0:
        speed = f"{speed}, may stand"
    times = f"{one.begin_s:.1f} to {one.end_s:.1f}"
    return [str(one.track_id), classes[one.label], times, speed, f"{one.fastest:.3g}"]


TITLES = ("id", "class", "seconds", "median {unit}", "95 % below")
