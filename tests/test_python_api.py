"""What a first program in Python meets: paths as text, names to be found, typed settings."""

import importlib
import inspect
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import vodkit
from vodkit.ground.records import Dataset, State, Tracks, TrackTable
from vodkit.track import TRACKERS, ByteTrackSettings, make_tracker
from vodkit.video.writer import VideoWriter, as_rate

CHECKOUT = Path(__file__).parent.parent
IMPORT = re.compile(r"^ *from (vodkit[a-z_.]*) import ([A-Za-z_, ]+)", re.MULTILINE)
FOR_FORMATS = {"vodkit.formats.base", "vodkit.formats.rows", "vodkit.formats.textfile"}
"""modules that a new format uses, which is given a Path"""


def documented() -> set[tuple[str, str]]:
    """(module, name) of everything public: the front door, and what the documents import."""
    found = {("vodkit", name) for name in vodkit.__all__}
    for path in (CHECKOUT / "README.md", *(CHECKOUT / "docs").rglob("*.md")):
        for module, names in IMPORT.findall(path.read_text(encoding="utf-8")):
            found |= {(module, name.strip()) for name in names.split(",") if name.strip()}
    return {pair for pair in found if pair[0] not in FOR_FORMATS and pair[1] != "Dataset"}


@pytest.mark.parametrize(("module", "name"), sorted(documented()))
def test_paths_may_be_text(module: str, name: str) -> None:
    made = getattr(importlib.import_module(module), name)
    if not callable(made) or (isinstance(made, type) and issubclass(made, vodkit.VodkitError)):
        return
    made = getattr(made, "open", made) if isinstance(made, type) else made  # as users make it
    for parameter in inspect.signature(made).parameters.values():
        kind = str(parameter.annotation)
        assert "Path" not in kind or "str" in kind, f"{name}({parameter.name}: {kind})"


def test_a_dataset_takes_its_root_as_text() -> None:
    assert Dataset(classes=("a",), videos=(), root="x").root == Path("x")  # type: ignore[arg-type]


def test_a_writer_takes_text_and_a_plain_rate(tmp_path: Path) -> None:
    with VideoWriter(str(tmp_path / "a.mp4"), width_px=32, height_px=32, rate=29.97) as writer:
        writer.write(np.zeros((32, 32, 3), np.uint8), 0.0)
    with vodkit.open_video(str(tmp_path / "a.mp4")) as video:
        assert video.info.width_px == 32
    assert as_rate(29.97) == Fraction(30000, 1001)


@pytest.mark.parametrize("package", ["vodkit.metrics", "vodkit.track"])
def test_packages_list_their_functions(package: str) -> None:
    module = importlib.import_module(package)
    assert set(module.__all__) <= set(dir(module))
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        module.nothing  # noqa: B018


@pytest.mark.parametrize("name", TRACKERS)
def test_typed_settings_make_their_tracker(name: str) -> None:
    kind, settings = TRACKERS[name]
    if name == "roboflow":
        pytest.importorskip("supervision", exc_type=ImportError)
        pytest.importorskip("trackers", exc_type=ImportError)
    assert type(make_tracker(settings())) is kind


def test_words_change_typed_settings() -> None:
    tracker = make_tracker(ByteTrackSettings(high=0.7), ["low=0.2"])
    assert (tracker.settings.high, tracker.settings.low) == (0.7, 0.2)  # type: ignore[attr-defined]


def test_records_become_data_frames() -> None:
    pytest.importorskip("pandas")
    tracks = Tracks(
        boxes_xyxy=np.array([[1, 2, 3, 4]]),
        scores=np.array([0.5]),
        labels=np.array([0]),
        ids=np.array([7]),
        states=np.array([State.PREDICTED]),
    )
    frame = tracks.to_dataframe()
    assert frame[["x1", "y1", "x2", "y2", "id", "state"]].to_numpy().tolist() == [
        [1.0, 2.0, 3.0, 4.0, 7, "predicted"]
    ]
    table = TrackTable.from_frames([(3, 0.3, tracks)]).to_dataframe()
    assert table[["frame", "id", "x2"]].to_numpy().tolist() == [[3, 7, 3]]
    assert not len(Tracks.empty().to_dataframe())


def test_polars_has_the_columns_of_pandas() -> None:
    polars = pytest.importorskip("polars")
    tracks = Tracks(
        boxes_xyxy=np.array([[1, 2, 3, 4]]), scores=[0.5], labels=[0], ids=[7], states=[1]
    )
    for record in (tracks, TrackTable.from_frames([(3, 0.3, tracks)]), Tracks.empty()):
        ours, theirs = record.to_polars(), record.to_dataframe()
        assert isinstance(ours, polars.DataFrame)
        assert ours.columns == list(theirs.columns)
        pairs = zip(ours.rows(), theirs.itertuples(index=False), strict=True)
        assert all(repr(one) == repr(tuple(two)) for one, two in pairs)  # NaN is not NaN
    assert tracks.to_polars()["state"].to_list() == ["predicted"]
    assert Tracks.empty().to_polars()["state"].dtype == polars.String
