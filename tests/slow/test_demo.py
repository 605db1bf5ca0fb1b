"""The demo end to end: what a newcomer runs first must work and say the truth."""

import json
import re
from pathlib import Path

import pytest

from vodkit.demo import AFTER, BEFORE, DemoSettings, _raw_ap50, run_demo
from vodkit.detect.models import listed
from vodkit.detect.published import MODELS
from vodkit.formats.table import read_dataset
from vodkit.samples import samples
from vodkit.video.reader import open_video

pytestmark = pytest.mark.slow
CHECKOUT = Path(__file__).parents[2]


def of_this_code(folder: Path) -> bool:
    """Whether ``make demo`` has come to its end there since the code last changed."""
    page = folder / "report.html"
    changed = max(path.stat().st_mtime for path in (CHECKOUT / "src").rglob("*.py"))
    return page.is_file() and page.stat().st_mtime > changed


@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("default")
def test_the_demo_writes_everything_and_fine_tuning_helps(tmp_path: Path) -> None:
    assert "vodkit-street" in MODELS
    if not any(one.card.name == "vodkit-street" and one.here for one in listed()):
        pytest.skip("the weights of vodkit-street are not in this installation")
    out = CHECKOUT / "runs" / "demo"
    if not of_this_code(out):  # CI runs it before the tests
        out, told = tmp_path, list[str]()
        run_demo(out, settings=DemoSettings(), tell=told.append)
        assert [line[:3] for line in told if line[0].isdigit()] == [f"{k}/5" for k in range(1, 6)]
    dataset = read_dataset(samples.LABELS).only("test")
    assert _raw_ap50(dataset, out / BEFORE) is not None
    after = _raw_ap50(dataset, out / AFTER)
    assert after is not None
    assert after >= 0.9
    ap = []
    for name in (BEFORE, AFTER):
        content = json.loads((out / name / "metrics.json").read_text(encoding="utf-8"))
        ap += [one["value"] for one in content["headline"] if one["name"] == "ap"]
    assert ap[1] > ap[0], "fine-tuning must help, or the demo tells a wrong story"
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "one scene" in page
    assert not re.search(r"""(?:src|href)=["']https?:""", page), "nothing from elsewhere"
    assert (out / "contact_sheet.png").read_bytes().startswith(b"\x89PNG")
    with (
        open_video(out / AFTER / "annotated.mp4") as drawn,
        open_video(samples.CLIP_B) as source,
    ):
        assert drawn.info.num_frames == source.info.num_frames


def test_the_demo_never_trains_on_what_it_measures() -> None:
    dataset = read_dataset(samples.LABELS)
    assert [v.source for v in dataset.only("train").videos] == [samples.CLIP_A.name]
    assert [v.source for v in dataset.only("test").videos] == [samples.CLIP_B.name]
