"""Settings of ``bench``, of which the command line makes its options."""

from dataclasses import dataclass

from vodkit.detect.defaults import AUTO, NETWORK, check_size
from vodkit.ground.errors import SettingsError
from vodkit.ground.settings import check_ranges, setting
from vodkit.infer.settings import OFF, InferSettings
from vodkit.samples.samples import CLIP_B


@dataclass(frozen=True, kw_only=True)
class BenchSettings:
    """What is measured, and for how long."""

    sources: tuple[str, ...] = setting((str(CLIP_B),), "Videos.")
    models: tuple[str, ...] = setting(
        (), "Repeatable; default: every model whose weights are here.", flags=("--model", "-m")
    )
    runtimes: tuple[str, ...] = setting(
        (),
        "Repeatable; default: all that are installed, and cuda where a GPU works.",
        flags=("--runtime",),
    )
    device: str = setting(AUTO, "auto, cpu, cuda, cuda:1, ...")
    tracker: str = setting("vodkit", "Tracker of the whole pipeline.", flags=("--tracker", "-t"))
    temporal: str = setting(
        OFF,
        "Temporal memory of the whole pipeline: links, links-both, or a head; with it detectors "
        "report candidates.",
    )
    batch_size: int = setting(
        0, "Frames given to the detector at once; 0: what the detector prefers.", low=0
    )
    size: str = setting(NETWORK, "Input size of the networks: pixels as 640, or 640x384.")
    seconds: float = setting(2.0, "For each speed, in each turn.", above=0, high=600)
    turns: int = setting(3, "Measure everything so often; medians count.", low=1)

    def __post_init__(self) -> None:
        """Check ranges."""
        check_ranges(self)
        check_size(self.size)
        self.run_settings("")
        if self.size == AUTO:
            raise SettingsError(f"size is auto; allowed in bench: {NETWORK}, or pixels as 640")

    def run_settings(self, model: str) -> InferSettings:
        """Of the whole pipeline with a model."""
        return InferSettings(
            model=model or InferSettings.model,
            tracker=self.tracker,
            batch_size=self.batch_size,
            size=self.size,
            temporal=self.temporal,
        )
