"""Hostile label files: limits hold before memory is taken, and nothing outside the file is read."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from account_files import WORLDS, write_sleap
from vodkit.formats import jsonfile
from vodkit.formats.base import Reading
from vodkit.formats.table import detect_format, read_dataset
from vodkit.formats.textfile import number_of
from vodkit.formats.xmlfile import read_xml
from vodkit.formats.yamlfile import read_yaml
from vodkit.ground.errors import FormatError

TOLD = Reading(size_px=(64, 48), labelled="all")


def put(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


MOT = "{frame},1,1,2,9,8,1,{number},1\n"


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("gt.txt", MOT.format(frame=10**9, number=1), "frame index 999999999"),
        ("gt.txt", MOT.format(frame=1, number=99999999), "more than 65536 classes"),
        ("gt.txt", MOT.format(frame=1, number=1).replace("9,8", "1_0,8"), "'1_0'; allowed"),
        ("gt.txt", MOT.format(frame="\u0661", number=1), "not in a known label format|a number"),
        ("a.json", '{"images": [], "images": [], "annotations": []}', "'images' occurs twice"),
        ("a.json", '[{"a": {"b": 1, "c": {}, "b": 2}}]', "key 'b' occurs twice"),
    ],
)
def test_absurd_numbers_and_doubled_keys(name: str, text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=says):
        read_dataset(put(tmp_path, name, text), "mot" if name == "gt.txt" else "coco", reading=TOLD)


def test_a_doubled_key_is_named_with_its_line(tmp_path: Path) -> None:
    path = put(tmp_path, "a.json", '{"images": [\n{"id": 1,\n "i\\u0064": 2}],\n"annotations": []}')
    with pytest.raises(FormatError, match="key 'id' occurs twice") as caught:
        read_dataset(path, "coco")
    assert caught.value.line == 3


@pytest.mark.parametrize("size", [(10**6, 48), (64, 10**6)])
def test_sizes_and_lengths_have_limits(size: tuple[int, int], tmp_path: Path) -> None:
    path = WORLDS["coco"].write(tmp_path, [])
    text = path.read_text().replace('"width": 64', f'"width": {size[0]}')
    path.write_text(text.replace('"height": 48', f'"height": {size[1]}'))
    with pytest.raises(FormatError, match="allowed: up to 100000 a side"):
        read_dataset(path)
    info = "[Sequence]\nframeRate=25\nseqLength=1000000000\nimWidth=64\nimHeight=48\n"
    put(tmp_path, "s/seqinfo.ini", info)
    put(tmp_path, "s/gt/gt.txt", MOT.format(frame=1, number=1))
    with pytest.raises(FormatError, match="1000000000 frames; allowed"):
        read_dataset(tmp_path / "s")


def test_key_frames_are_not_drawn_without_end(tmp_path: Path) -> None:
    path = WORLDS["cvat"].write(tmp_path, [WORLDS["cvat"].kinds["box"]])
    path.write_text(path.read_text().replace("<stop_frame>8", "<stop_frame>9000000"))
    with pytest.raises(FormatError, match="drawn to more than 5000000 boxes"):
        read_dataset(path)
    path.write_text(path.read_text().replace("<stop_frame>9000000", "<stop_frame>900000000"))
    with pytest.raises(FormatError, match="stop frame 900000000; allowed"):
        read_dataset(path)


def test_a_large_mask_takes_no_memory(tmp_path: Path) -> None:
    mask = {"segmentation": {"size": [10**6, 10**6], "counts": [10**12]}}
    content = json.loads(WORLDS["coco"].write(tmp_path, []).read_text())
    content["annotations"] = [{"id": 1, "image_id": 9, "category_id": 3, **mask}]
    path = put(tmp_path, "a.json", json.dumps(content))
    with pytest.raises(FormatError, match="mask of 1000000x1000000; allowed"):
        read_dataset(path)


def test_yaml_aliases_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    with pytest.raises(FormatError, match=r"alias \*a0 of a list or mapping"):
        read_yaml(put(tmp_path, "data.yaml", "\n".join([*lines, "names: *a39"])))
    merges = "a: &a {x: 1}\nb:\n  <<: [*a, *a]\n"
    with pytest.raises(FormatError, match="alias"):
        read_yaml(put(tmp_path, "data.yaml", merges))
    with pytest.raises(FormatError, match="key '0' occurs twice") as caught:
        read_yaml(put(tmp_path, "data.yaml", "names:\n  0: bee\n  0: fly\n"))
    assert caught.value.line == 3
    assert read_yaml(put(tmp_path, "data.yaml", "a: &a train\nb: *a\n")) == {
        "a": "train", "b": "train"
    }  # fmt: skip


def growth(work: Callable[[int], None], small: int, times: int) -> float:
    """How many times as long ``times`` as much takes, in processor time; the best of three."""

    def cost(amount: int) -> float:
        start = time.process_time()
        work(amount)
        return time.process_time() - start

    few = min(cost(small) for _ in range(3))
    return min(cost(small * times) for _ in range(3)) / max(few, 1e-3)


@pytest.mark.slow
def test_xml_text_costs_linear_time(tmp_path: Path) -> None:
    """Entities of one character come in pieces: adding each to a string would cost their square."""

    def parse(count: int) -> None:
        read_xml(put(tmp_path, "a.xml", f"<a>{'&lt;' * count}</a>"))

    assert growth(parse, 50_000, 8) < 24


def test_numbers_are_ascii_digits() -> None:
    for text in ("\u0661", "1_0", "0x1", "1e", "", "--1", "\uff11"):
        with pytest.raises(ValueError, match="not a number"):
            number_of(text)
    assert [number_of(text) for text in ("1", "-.5", "1e3", "+2.", " 3 ")] == [1, -0.5, 1000, 2, 3]


@pytest.mark.parametrize("name", ["a.json", "a.xml", "a.txt", "a.slp", "a.yaml"])
def test_a_pipe_is_not_waited_for(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(FormatError, match=r"known label format|not a regular file"):
        detect_format(tmp_path / name)
    for format_name in ("coco", "cvat", "mot", "sleap", "yolo"):
        with pytest.raises(FormatError, match="not a regular file"):
            read_dataset(tmp_path / name, format_name)


class TestHdf5:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        pytest.importorskip("h5py")
        kind = WORLDS["sleap"].kinds["animal"]
        return write_sleap(tmp_path, [kind, kind])

    def test_external_storage_and_links_are_refused(self, path: Path, tmp_path: Path) -> None:
        import h5py

        secret = tmp_path / "secret.bin"
        secret.write_bytes(b"0" * 4096)
        with h5py.File(path, "a") as file:
            table = file["points"][:]
            del file["points"]
            size = table.nbytes
            stored = [(str(secret), 0, size)]
            file.create_dataset("points", table.shape, table.dtype, external=stored)
        with pytest.raises(FormatError, match="'points' lies in other files"):
            read_dataset(path)
        with h5py.File(path, "a") as file:
            del file["points"]
            file["points"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/points")
        with pytest.raises(FormatError, match="'points' is a link"):
            read_dataset(path)
        with h5py.File(path, "a") as file:
            del file["points"]
            file["points"] = h5py.SoftLink("/pred_points")
        with pytest.raises(FormatError, match="'points' is a link"):
            read_dataset(path)

    def test_a_table_that_would_fill_the_memory_is_refused(self, path: Path) -> None:
        import h5py

        with h5py.File(path, "a") as file:
            kind = file["points"].dtype
            del file["points"]
            file.create_dataset("points", (10**12,), kind, chunks=(1024,))
        with pytest.raises(FormatError, match="'points' has 1000000000000 rows"):
            read_dataset(path)

    @pytest.mark.parametrize(
        ("table", "column", "value"),
        [
            ("frames", "instance_id_end", 2),
            ("frames", "instance_id_end", 2**60),
            ("instances", "point_id_start", 0),
            ("instances", "point_id_end", 10**9),
        ],
    )
    def test_ranges_that_overlap_or_are_missing(
        self, table: str, column: str, value: int, path: Path
    ) -> None:
        import h5py

        with h5py.File(path, "a") as file:
            rows = file[table][:]
            rows[column] = np.uint64(value)
            file[table][...] = rows
        with pytest.raises(FormatError, match="overlapping or missing rows"):
            read_dataset(path)


def test_places_of_many_faults_cost_linear_time(tmp_path: Path) -> None:
    """The line breaks of a file are counted once, not for each fault."""
    rows = [{"id": k, "image_id": 1, "category_id": 1, "bbox": [1, 1, "x", 2]} for k in range(99)]
    names, images = (
        [{"id": 1, "name": "a"}],
        [{"id": 1, "file_name": "a.jpg", "width": 9, "height": 9}],
    )
    content = {"images": images, "categories": names, "annotations": rows}
    (tmp_path / "a.json").write_text(json.dumps(content, indent=1))
    faults: list[FormatError] = []
    before = jsonfile._line_ends.cache_info()
    read_dataset(tmp_path / "a.json", "coco", reading=Reading(fault=faults.append))
    after = jsonfile._line_ends.cache_info()
    assert len(faults) == len({fault.line for fault in faults}) == 99
    assert (after.misses - before.misses, after.hits - before.hits) == (1, 98)
