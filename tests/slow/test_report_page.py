"""The page: whole, self-contained, escaped, and right about what it shows."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from vodkit.formats.table import read_dataset
from vodkit.ground.errors import InputError
from vodkit.ground.records import Dataset, TrackTable
from vodkit.metrics.bootstrap import BootstrapSettings
from vodkit.metrics.compare import compare, compare_all, from_evaluation
from vodkit.metrics.evaluation import EvalSettings, evaluate
from vodkit.report.compare_page import write_compare_page
from vodkit.report.dataset_page import write_dataset_page
from vodkit.report.every_number import PARTS, every_number
from vodkit.report.page import write_report
from vodkit.report.sections import UNDEFINED, Subject
from vodkit.samples import samples

pytestmark = pytest.mark.slow
ROOT = samples.LABELS.parent
VOID = {"meta", "img", "link", "br"}
FEW = EvalSettings(bootstrap=BootstrapSettings(resamples=50))


class Balance(HTMLParser):
    """Fails where tags do not close in order; collects what the tests ask for."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read_page(path: Path) -> tuple[str, Balance]:
    text = path.read_text(encoding="utf-8")
    parser = Balance()
    parser.feed(text)
    assert parser.open == []
    return text, parser


@pytest.fixture(scope="module")
def clip_b() -> Dataset:
    return read_dataset(samples.LABELS).only("test")


def jittered(truth: TrackTable, *, px: float, kept: float) -> TrackTable:
    rng = np.random.default_rng(1)
    some = truth[rng.random(len(truth)) < kept]
    moved = some.boxes_xyxy + np.tile(rng.normal(0, px, (len(some), 2)), 2)
    return replace(some, boxes_xyxy=moved, scores=rng.uniform(0.5, 1, len(some)))


def subject(dataset: Dataset, title: str, *, px: float, kept: float) -> Subject:
    video = dataset.videos[0]
    assert video.tracks is not None
    predictions = {video.source: jittered(video.tracks, px=px, kept=kept)}
    result = evaluate(
        dataset, predictions, settings=FEW, split="test", about={"model": "<made up>"}
    )
    return Subject(title=title, evaluation=result, predictions=predictions, videos={})


@pytest.mark.timeout(300)
def test_two_runs_side_by_side(clip_b: Dataset, tmp_path: Path) -> None:
    both = [
        subject(clip_b, "rough", px=6, kept=0.8),
        subject(clip_b, "fine & good", px=1, kept=1.0),
    ]
    runs = [from_evaluation(one.evaluation, one.title) for one in both]
    path = tmp_path / "report.html"
    write_report(
        path, clip_b, ROOT, both, comparisons=[compare(*runs)], notes=["<script>alert(1)</script>"]
    )
    text, parser = read_page(path)
    assert "<script>alert" not in text
    assert "&lt;made up&gt;" in text
    assert "fine &amp; good" in text
    sources = [a["src"] or "" for tag, a in parser.attributes if tag == "img"]
    assert sources
    assert all(source.startswith("data:image/webp;base64,") for source in sources)
    assert all(a.get("alt") for tag, a in parser.attributes if tag == "img")
    links = [a["href"] or "" for tag, a in parser.attributes if tag == "a"]
    assert links
    assert all(re.search(r"plaza_b\.mp4#t=\d+\.\d\d$", link) for link in links)
    assert not re.search(r"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//""", text)
    assert len(text) < 2_000_000


def test_three_runs_on_the_page_of_compare(clip_b: Dataset, tmp_path: Path) -> None:
    """From ``metrics.json`` alone: each run has its column and its difference to the first."""
    runs = []
    for name, px in (("rough", 6), ("fair", 3), ("<fine>", 1)):
        one = subject(clip_b, name, px=px, kept=1.0)
        runs.append(from_evaluation(one.evaluation, name))
    path = tmp_path / "compare.html"
    write_compare_page(path, runs, compare_all(runs))
    text, _ = read_page(path)
    assert text.count("<strong>rough against") == 2
    assert "&lt;fine&gt; is better on" in text
    assert "plaza_b.mp4" in text.split("<h2>By video</h2>")[1]


def test_every_number_stands_on_the_page(clip_b: Dataset) -> None:
    one = subject(clip_b, "one", px=1, kept=1.0)
    table = every_number([one])
    values = dict(table.rows)
    overall = one.evaluation.detection.coco.overall
    assert values["detection.coco.overall.ap"] == f"{overall.ap:.4f}"
    assert values["streaming"] == UNDEFINED
    assert {path.split(".")[0] for path in values} == set(PARTS)


@pytest.mark.timeout(300)
def test_a_page_without_the_videos_still_stands(clip_b: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    one = subject(clip_b, "alone", px=8, kept=0.7)
    write_report(path, clip_b, tmp_path, [one], title="No video here")
    _, parser = read_page(path)
    assert not [tag for tag, _ in parser.attributes if tag == "img"]


def test_runs_on_different_data_do_not_share_a_page(clip_b: Dataset, tmp_path: Path) -> None:
    one = subject(clip_b, "one", px=1, kept=1.0)
    facts = replace(one.evaluation.data, fingerprint="0" * 64)
    other = replace(one, title="other", evaluation=replace(one.evaluation, data=facts))
    with pytest.raises(InputError, match="different data"):
        write_report(tmp_path / "report.html", clip_b, ROOT, [one, other])
    with pytest.raises(InputError, match="no evaluation"):
        write_report(tmp_path / "report.html", clip_b, ROOT, [])
    assert not (tmp_path / "report.html").exists()


@pytest.mark.timeout(300)
def test_the_page_of_a_dataset(tmp_path: Path) -> None:
    path = tmp_path / "dataset.html"
    write_dataset_page(path, read_dataset(samples.LABELS), ROOT, frames_shown=3)
    text, parser = read_page(path)
    assert "plaza_a.mp4" in text
    assert len([tag for tag, _ in parser.attributes if tag == "img"]) == 2
    assert len([tag for tag, _ in parser.attributes if tag == "svg"]) == 3
    write_dataset_page(path, read_dataset(samples.LABELS), tmp_path, frames_shown=3)
    text, parser = read_page(path)
    assert text.count("no pictures: ") == 2, "the videos do not lie there"
    assert "2 (25 s in all)" in text
