"""Settings are strict: unknown names, wrong types and contradictions are loud."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vodkit.ground import settings
from vodkit.ground.errors import SettingsError
from vodkit.ground.lookup import nearest, pick


@dataclass(frozen=True, kw_only=True)
class Inner:
    rate: float = 0.5
    names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Outer:
    epochs: int = 10
    model: str = "yolox"
    warm: bool = True
    limit: float | None = None
    inner: Inner = Inner()

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise SettingsError(f"epochs is {self.epochs}; allowed: 1 or more")


def test_words_win_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text('epochs = 3\nmodel = "ssd"\n[inner]\nrate = 1\n')
    made = settings.load(Outer, toml=file, words=["epochs=5", "inner.names=['a', 'b']"])
    assert made == Outer(epochs=5, model="ssd", inner=Inner(rate=1.0, names=("a", "b")))


@dataclass(frozen=True, kw_only=True)
class Special:
    inner: Inner = Inner(rate=0.9, names=("a",))


def test_one_setting_of_a_table_leaves_the_others_at_their_own_defaults() -> None:
    assert settings.load(Special, words=["inner.names=['b']"]).inner == Inner(
        rate=0.9, names=("b",)
    )


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("epoch=5", "unknown setting 'epoch'; did you mean epochs?"),
        ("inner.rat=5", "did you mean inner.rate"),
        ("epochs=many", "setting epochs is 'many' (str); allowed: int"),
        ("epochs=0", "allowed: 1 or more"),
        ("warm=1", "allowed: bool"),
        ("epochs", "not of the form name=value"),
    ],
)
def test_a_wrong_word_is_refused_with_help(word: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings.load(Outer, words=[word])
    assert message in str(caught.value)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text("epochs = = 3")
    with pytest.raises(SettingsError, match=r"s\.toml: cannot read"):
        settings.load(Outer, toml=file)


@given(
    st.builds(
        Outer,
        epochs=st.integers(1, 99),
        model=st.text(st.characters(exclude_categories=["Cs", "Cc"])),
        warm=st.booleans(),
        limit=st.none() | st.floats(allow_nan=False, allow_infinity=False),
        inner=st.builds(Inner, rate=st.floats(0, 1), names=st.tuples(st.sampled_from(["a", "é"]))),
    )
)
def test_what_is_written_reads_back_equal(made: Outer) -> None:
    import tomllib

    assert settings.build(Outer, tomllib.loads(settings.to_toml(made))) == made


def test_pick_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match="unknown tracker 'bytetrak'; did you mean bytetrack"):
        pick({"sort": 1, "bytetrack": 2}, "bytetrak", "tracker")
    with pytest.raises(SettingsError, match="choose from: bytetrack, sort"):
        pick({"sort": 1, "bytetrack": 2}, "zzz", "tracker")
    assert nearest("SORT", ["sort"]) == ["sort"]
