"""Files that vodkit writes fit the JSON Schemas of the documentation."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from vodkit.detect.models import find_card
from vodkit.formats.table import read_dataset
from vodkit.ground.runs import MANIFEST, PREDICTIONS
from vodkit.infer.batch import Batch
from vodkit.infer.settings import InferSettings
from vodkit.metrics.bootstrap import BootstrapSettings
from vodkit.metrics.evaluation import EvalSettings, evaluate
from vodkit.metrics.prediction_files import read_predictions
from vodkit.samples.samples import CLIP_B, LABELS

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))
from schemas import all_schemas

pytestmark = pytest.mark.slow
SCHEMAS = all_schemas()


def fits(name: str, content: Any) -> None:
    plain = json.loads(json.dumps(content))
    jsonschema.Draft202012Validator(SCHEMAS[name]).validate(plain)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = InferSettings(every="10", runtime="torch")
    (outcome,) = Batch([str(CLIP_B)], settings, out=tmp_path_factory.mktemp("runs")).run()
    return Path(outcome.folder.path)


def test_schemas_are_schemas() -> None:
    for schema in SCHEMAS.values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_the_files_of_a_run_fit(run: Path) -> None:
    fits("manifest", json.loads((run / MANIFEST).read_text()))
    header, *frames = map(json.loads, (run / PREDICTIONS).read_text().splitlines())
    fits("predictions-header", header)
    assert len(frames) == 12
    for frame in frames:
        fits("predictions-frame", frame)


def test_dataset_card_and_metrics_fit(run: Path) -> None:
    fits("dataset", json.loads(LABELS.read_text()))
    fits("card", asdict(find_card("vodkit-street")[0]))
    truth = read_dataset(LABELS).only("test")
    found = read_predictions([run], truth).tables
    settings = EvalSettings(bootstrap=BootstrapSettings(resamples=5))
    fits("metrics", evaluate(truth, found, settings=settings).to_json())


def test_a_wrong_file_does_not_fit(run: Path) -> None:
    manifest = json.loads((run / MANIFEST).read_text())
    with pytest.raises(jsonschema.ValidationError):
        fits("manifest", {**manifest, "ended": "perhaps"})
