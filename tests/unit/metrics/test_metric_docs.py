"""The documents say what the code does: the schema's keys, and the example of a new metric."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from metric_scenes import perfect, scene
from vodkit.cli.compare import compare as compare_command
from vodkit.cli.eval import evaluate as evaluate_command
from vodkit.metrics.bootstrap import BootstrapSettings
from vodkit.metrics.clips import make_clips
from vodkit.metrics.evaluation import EvalSettings, evaluate

DOCS = Path(__file__).parents[3] / "docs"


def test_every_key_of_the_json_is_documented():
    dataset, predictions = scene(1, num_frames=15)
    settings = EvalSettings(bootstrap=BootstrapSettings(resamples=5))
    content = evaluate(dataset, predictions, settings=settings).to_json()
    text = (DOCS / "reference" / "metrics-json.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w.-]+)`", text))
    for key, value in content.items():
        if key == "detection":
            assert {f"detection.{name}" for name in value} <= named
        else:
            assert key in named
        if key in {
            "data",
            "settings",
            "per_video",
            "replicates",
            "occlusion",
            "stability",
            "flicker",
        }:
            inner = next(iter(value.values())) if key == "per_video" else value
            assert set(inner) <= named, key


def test_the_example_of_a_new_metric_works():
    text = (DOCS / "add-a-metric.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    made = {"__name__": "example"}
    exec(compile(code, "add-a-metric.md", "exec"), made)
    dataset, _ = scene(2, num_frames=15)
    clips = make_clips(dataset, perfect(dataset))
    counts = sum((made["counted_counts"](clip) for clip in clips), made["CountedCounts"]())
    assert made["ENTRY"].value(counts) == pytest.approx(1.0)
    assert made["ENTRY"].value(made["CountedCounts"](right=1, whole=2)) == pytest.approx(0.5)


@pytest.mark.parametrize("command", [evaluate_command, compare_command])
def test_every_option_is_documented(command):
    guides = (DOCS / "guides" / f"{name}.md" for name in ("evaluate", "compare"))
    text = "".join(page.read_text(encoding="utf-8") for page in guides)
    for parameter in inspect.signature(command).parameters.values():
        for option in getattr(parameter.default, "param_decls", None) or ():
            for word in option.split("/"):
                assert not word.startswith("--") or f"`{word}`" in text, word


def test_numbers_come_without_torch():
    """Whoever has no torch can evaluate; here it cannot be imported at all."""
    code = """
import sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError("there is no torch here")
sys.meta_path.insert(0, NoTorch())
sys.path.insert(0, sys.argv[1])
from metric_scenes import scene
from vodkit.metrics.evaluation import evaluate
dataset, found = scene(1, num_frames=15)
print(evaluate(dataset, found).headline[0].value)
"""
    place = str(Path(__file__).parents[2])
    told = subprocess.run(
        [sys.executable, "-c", code, place], capture_output=True, text=True, check=True
    )
    assert 0 < float(told.stdout) < 1
