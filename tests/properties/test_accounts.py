"""The law of accounts: kept + converted + skipped = contained, in every format, for any mixture."""

from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from account_files import CONVERTED, KEPT, SKIPPED, WORLDS, Kind
from vodkit.data.ingest import ingest
from vodkit.formats.base import Reading
from vodkit.formats.table import FORMATS, SOURCES, detect_format, read_labels, write_dataset
from vodkit.ground.account import Account, AccountError, Tally
from vodkit.ground.errors import FormatError, VodkitError
from vodkit.ground.records import Dataset

TOLD = Reading(size_px=(64, 48), rate=Fraction(25), labelled="all", skip_empty=True)
QUICK = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))


def format_of(world: str) -> str:
    return world.partition(" ")[0]


def read(world: str, chosen: list[Kind], reading: Reading = TOLD) -> tuple[Dataset, Account]:
    with TemporaryDirectory() as folder:
        path = WORLDS[world].write(Path(folder), chosen)
        assert detect_format(path) == format_of(world)
        return read_labels(path, reading=reading)


def test_every_format_has_a_world() -> None:
    assert {format_of(world) for world in WORLDS} == {*FORMATS, *SOURCES} - {"predictions"}


@pytest.mark.parametrize("world", WORLDS)
@QUICK
@given(data=st.data())
def test_every_object_is_accounted_for(world: str, data: st.DataObject) -> None:
    kinds = list(WORLDS[world].kinds.values())
    chosen = data.draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=12))
    dataset, account = read(world, chosen)
    outcomes = [kind.outcome for kind in chosen]
    either = outcomes.count("either")
    assert account.contained == len(chosen)
    assert outcomes.count(KEPT) <= account.kept <= outcomes.count(KEPT) + either
    assert sum(account.converted.values()) == outcomes.count(CONVERTED)
    assert outcomes.count(SKIPPED) <= account.num_skipped <= outcomes.count(SKIPPED) + either
    boxes = sum(len(video.tracks) for video in dataset.videos if video.tracks is not None)
    assert boxes >= outcomes.count(KEPT) + outcomes.count(CONVERTED) or account.num_skipped


@pytest.mark.parametrize("world", WORLDS)
def test_each_kind_has_the_outcome_that_is_right(world: str) -> None:
    for name, kind in WORLDS[world].kinds.items():
        _, account = read(world, [kind])
        counts = {
            KEPT: account.kept,
            CONVERTED: sum(account.converted.values()),
            SKIPPED: account.num_skipped,
        }
        if kind.outcome in counts:
            assert counts[kind.outcome] == 1, (name, account)


@pytest.mark.parametrize("world", WORLDS)
def test_a_lost_object_is_an_error(world: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One object that the reader forgets to count: the independent walk finds it."""
    kept, take = list(WORLDS[world].kinds.values()), Tally.take
    lost: list[str] = []

    def forgetful(self: Tally, how: str = "", count: int = 1) -> None:
        if lost or not count:  # whole columns of a file may be empty
            take(self, how, count)
        else:
            lost.append(how)

    monkeypatch.setattr(Tally, "take", forgetful)
    with pytest.raises(AccountError, match="accounted for"):
        read(world, kept)


@pytest.mark.parametrize("world", WORLDS)
@QUICK
@given(data=st.data())
def test_faults_that_are_collected_are_accounted_for(world: str, data: st.DataObject) -> None:
    """With damaged files an audit still knows what became of every object."""
    kinds = list(WORLDS[world].kinds.values())
    chosen = data.draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=6))
    share, token = data.draw(st.floats(0, 1)), data.draw(st.sampled_from([b"x", b"-1", b"{}", b""]))
    faults: list[FormatError] = []
    reading = Reading(size_px=(64, 48), rate=Fraction(25), labelled="all", fault=faults.append)
    with TemporaryDirectory() as folder:
        path = WORLDS[world].write(Path(folder), chosen)
        files = [path] if path.is_file() else sorted(x for x in path.rglob("*") if x.is_file())
        file = files[data.draw(st.integers(0, len(files) - 1))]
        content = file.read_bytes()
        start = int(share * len(content))
        file.write_bytes(content[:start] + token + content[start + 2 :])
        try:
            read_labels(path, format_of(world), reading=reading)
        except AccountError:
            raise
        except VodkitError:
            pass


def test_the_account_goes_into_the_dataset_file(tmp_path: Path) -> None:
    kinds = WORLDS["datumaro"].kinds
    path = WORLDS["datumaro"].write(tmp_path, list(kinds.values()))
    done = ingest(path, reading=TOLD)
    write_dataset(done.dataset, tmp_path / "dataset.json")
    again, own = read_labels(tmp_path / "dataset.json")
    assert again.accounts == (done.account,)
    assert own.contained == own.kept == sum(len(v.tracks or ()) for v in again.videos)
    assert again.root == tmp_path


@pytest.mark.parametrize("world", WORLDS)
def test_labels_without_a_box_are_refused(world: str, tmp_path: Path) -> None:
    skipped = [kind for kind in WORLDS[world].kinds.values() if kind.outcome == SKIPPED]
    path = WORLDS[world].write(tmp_path, skipped[:1])
    with pytest.raises(FormatError, match="no box"):
        ingest(path, format_of(world), reading=TOLD)
