"""FleetSettings: how the videos of one command are shared by workers. None changes a result."""

from dataclasses import dataclass

from vodkit.ground.errors import SettingsError
from vodkit.ground.settings import check_ranges, setting


@dataclass(frozen=True, kw_only=True)
class FleetSettings:
    """Which videos of a tree this process works on, and how failures are treated."""

    shard: str = setting(
        "", "Share of the videos, index/count as 0/40; auto: from the array job's variables."
    )
    claim: bool = setting(
        False,
        "Take the next video that no other worker has; any number of workers may join or die.",
    )
    retry_failed: bool = setting(
        False,
        "Try videos again that failed for good, as corrupt ones.",
    )
    on: str = setting("", "ray: actors on this machine; ray://HOST:10001: on that cluster.")
    actors: int = setting(
        0, "With --on: videos at the same time; 0: one a GPU, or one a CPU core.", low=0
    )
    pieces: int = setting(1, "Processes that detect pieces of one video at the same time.", low=1)
    tries: int = setting(3, "Tries of a video whose error may pass.", low=1, hidden=True)
    pause_s: float = setting(5.0, "Pause before the second try; doubles.", low=0, hidden=True)
    expiry_s: float = setting(600.0, "Age of a silent claim that is void.", above=0, hidden=True)
    upload_s: float = setting(600.0, "Seconds between uploads of a run.", low=0, hidden=True)

    def __post_init__(self) -> None:
        """Check ranges, and combinations that contradict each other."""
        check_ranges(self)
        if self.on and self.on != "ray" and not self.on.startswith("ray://"):
            raise SettingsError(f"on is {self.on!r}; allowed: ray, ray://HOST:PORT")
        if self.claim and self.shard:
            raise SettingsError("--claim takes whatever is free, --shard a share; give one of them")
        if self.on and (self.claim or self.shard):
            raise SettingsError(
                "--on ray shares the videos itself; give it without --shard, --claim"
            )
        if self.actors and not self.on:
            raise SettingsError(f"actors is {self.actors} without --on ray")

    @property
    def is_asked_for(self) -> bool:
        """Whether any option asks for a tree that workers share."""
        return bool(self.shard or self.claim or self.retry_failed or self.on)
