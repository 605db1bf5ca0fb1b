"""The demo end to end: what a newcomer runs first must work and say the truth."""

import re
from pathlib import Path

import pytest

from vodkit.demo import DemoSettings, run_demo
from vodkit.detect.models import MODELS, listed
from vodkit.formats.table import read_dataset
from vodkit.samples import samples
from vodkit.video.reader import open_video

pytestmark = pytest.mark.slow


@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("default")
def test_the_demo_writes_everything_and_fine_tuning_helps(tmp_path: Path) -> None:
    assert "vodkit-street" in MODELS
    if not any(one.card.name == "vodkit-street" and one.here for one in listed()):
        pytest.skip("the weights of vodkit-street are not in this installation")
    told: list[str] = []
    result = run_demo(tmp_path, settings=DemoSettings(), tell=told.append)
    before, after = result.detections_ap50
    assert before is not None
    assert after is not None
    assert after >= 0.9
    ap = [
        {one.name: one.value for one in run.headline}["ap"] for run in (result.before, result.after)
    ]
    assert ap[1] is not None
    assert ap[0] is not None
    assert ap[1] > ap[0], "fine-tuning must help, or the demo tells a wrong story"
    assert [line[:3] for line in told if line[0].isdigit()] == [f"{k}/5" for k in range(1, 6)]
    page = result.report.read_text(encoding="utf-8")
    assert "one scene" in page
    assert not re.search(r"""(?:src|href)=["']https?:""", page), "nothing from elsewhere"
    assert result.sheet.read_bytes().startswith(b"\x89PNG")
    with open_video(result.video) as drawn, open_video(samples.CLIP_B) as source:
        assert drawn.info.num_frames == source.info.num_frames


def test_the_demo_never_trains_on_what_it_measures() -> None:
    dataset = read_dataset(samples.LABELS)
    assert [v.source for v in dataset.only("train").videos] == [samples.CLIP_A.name]
    assert [v.source for v in dataset.only("test").videos] == [samples.CLIP_B.name]
