"""The page on adding a format is true: its code is a format."""

import re
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import pytest

from vodkit.formats.base import Reading, Writing
from vodkit.ground.errors import FormatError
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable, VideoInfo

PAGE = Path(__file__).parents[3] / "docs" / "add-a-format.md"


@pytest.fixture
def toy() -> ModuleType:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    module = ModuleType("toy")
    exec(compile(code, str(PAGE), "exec"), module.__dict__)
    return module


@pytest.mark.slow
def test_the_toy_format_works(toy: ModuleType, tmp_path: Path) -> None:
    info = VideoInfo(path="a.toy", width_px=64, height_px=48, rate=Fraction(25))
    table = TrackTable(
        frames=[0, 3], times_s=[0, 3 / 25], ids=[-1, -1], boxes_xyxy=[[1, 2, 3.5, 4], [0, 0, 9, 9]],
        labels=[0, 1],
    )  # fmt: skip
    video = LabelledVideo(source="a", info=info, tracks=table)
    path = tmp_path / "a.toy"
    toy.write(Dataset(classes=("bee", "fly"), videos=(video,)), path, Writing())
    assert toy.sniff(path)
    told = Reading(size_px=(64, 48), rate=Fraction(25))
    assert toy.read(path, told).videos[0].tracks == table
    path.write_text("0 1 2 3 4 bee\n0 1 2 x 4 bee\n")
    with pytest.raises(FormatError, match=r"a.toy:2: column 4 is 'x'"):
        toy.read(path, told)
