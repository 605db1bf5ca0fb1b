"""An exported temporal head is the trained one: on a clip and in a run; else it is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vodkit.benchmark.certificates import clip_of
from vodkit.benchmark.temporal_certificate import export_head, head_path, stages_for
from vodkit.detect.checkpoint import save_checkpoint
from vodkit.detect.embed import PoolSettings
from vodkit.detect.export import Tolerances, export_detector
from vodkit.detect.models import build_network, find_card, load_detector
from vodkit.detect.temporal_head import HEAD_FAMILY, Keys, keys_file, load_head
from vodkit.ground.errors import OutputError, SettingsError, WeightsError
from vodkit.ground.records import Detections, Frame
from vodkit.infer.flow import detect_video
from vodkit.infer.settings import InferSettings
from vodkit.temporal.recall import RecallSettings, first_weights
from vodkit.video.synth import Scene, SceneSettings, write_scene

SIDE, NUM_FRAMES, KEY_SIZE = 96, 10, 8
STAGES, BINS = ("neck",), (2, 2)
THRESHOLD = 0.02
pytestmark = pytest.mark.slow  # real networks


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "scene.mp4"
    wanted = SceneSettings(width_px=SIDE, height_px=SIDE, num_frames=NUM_FRAMES, size_px=(20, 40))
    write_scene(Scene(wanted), path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    module, card = build_network("vodkit-street")
    small = replace(card.preprocessing, width_px=SIDE, height_px=SIDE)
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    save_checkpoint(module.state_dict(), replace(card, preprocessing=small, url=""), path)
    return path


@pytest.fixture(scope="module")
def frames(model: Path, clip: Path) -> list[Frame]:
    return clip_of(str(clip), NUM_FRAMES, find_card(model)[0].preprocessing)


@pytest.fixture(scope="module")
def head(model: Path, frames: list[Frame]) -> Path:
    """A head of random weights that compares features, for the model."""
    keys = Keys(PoolSettings(stages=STAGES, bins=BINS), 32)
    probe = load_detector(model, runtime="torch", score_threshold=0.001, temporal=keys)
    features = probe.detect(frames[:1])[0].features
    assert features is not None
    rng, weights = np.random.default_rng(5), first_weights()
    for name in ("hidden.weight", "out.weight", "likeness"):
        weights[name] = weights[name] + rng.normal(0, 0.2, weights[name].shape).astype(np.float32)
    size = features.shape[1]
    weights["keys.shift"] = features.mean(axis=0)
    weights["keys.scale"] = np.ones(size, np.float32)
    weights["keys.weight"] = rng.normal(size=(KEY_SIZE, size)).astype(np.float32)
    shape, card = RecallSettings(), find_card(model)[0]
    about = {
        "detector": card.name, "detector_sha256": card.sha256, "mode": "causal",
        "lags_s": list(shape.lags_s), "stages": list(STAGES), "bins": list(BINS),
        "most": shape.most, "remembered": shape.remembered,
    }  # fmt: skip
    path = model.with_name("temporal.safetensors")
    mine = replace(card, name="temporal", family=HEAD_FAMILY, architecture=about)
    save_checkpoint({name: torch.from_numpy(v) for name, v in weights.items()}, mine, path)
    return path


@pytest.fixture(scope="module", params=[".onnx", ".xml"])
def exported(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    model: Path,
    head: Path,
    frames: list[Frame],
) -> Path:
    """The exported detector; its head lies beside it, certified."""
    out = tmp_path_factory.mktemp("out") / f"small{request.param}"
    maps = stages_for(head, out, build_network(model)[1], is_exact=True)
    export_detector(model, out, frames=frames[::4], maps=maps)
    seen = export_head(str(model), head, out, clip=frames)
    assert seen.num_boxes > NUM_FRAMES
    assert 0 < seen.num_remembered < NUM_FRAMES  # the first frame has no memory
    return out


def found(clip: Path, **settings: str) -> list[Detections]:
    wanted = InferSettings(score_threshold=THRESHOLD, **settings)  # type: ignore[arg-type]
    return [one for _, one in detect_video(str(clip), settings=wanted)]


@pytest.fixture(scope="module")
def torch_run(model: Path, head: Path, clip: Path) -> list[Detections]:
    """What the trained files find."""
    return found(clip, model=str(model), temporal=str(head), runtime="torch")


def test_a_run_of_the_exported_files_is_the_torch_run(
    exported: Path, torch_run: list[Detections], clip: Path
) -> None:
    before = torch_run
    after = found(clip, model=str(exported), temporal=str(head_path(exported)))
    assert sum(map(len, before)) > NUM_FRAMES
    allowed = Tolerances()
    assert allowed.px is not None
    assert allowed.score is not None
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(one.scores, other.scores, atol=allowed.score)
        np.testing.assert_allclose(one.boxes_xyxy, other.boxes_xyxy, atol=allowed.px)
    still = found(clip, model=str(exported))  # maps are no business of a run without memory
    assert still[0] == after[0]
    assert still[1:] != after[1:]


@pytest.mark.parametrize("exported", [".onnx"], indirect=True)
def test_what_does_not_belong_together_is_refused(
    exported: Path, model: Path, head: Path, frames: list[Frame], tmp_path: Path
) -> None:
    graph = head_path(exported)
    with pytest.raises(WeightsError, match="was made for"):
        load_head(graph, find_card(model)[0])
    with pytest.raises(SettingsError, match="is an exported head; allowed: a trained one"):
        stages_for(graph, exported, find_card(exported)[0], is_exact=True)
    for out, is_exact in ((tmp_path / "x.pt2", True), (tmp_path / "x.onnx", False)):
        with pytest.raises(SettingsError, match=r"allowed: \.onnx or \.xml, in float32"):
            stages_for(head, out, build_network(model)[1], is_exact=is_exact)
    keys = Keys(PoolSettings(stages=("stage2",), bins=BINS), 32)
    with pytest.raises(SettingsError, match="stages: neck; wanted: stage2"):
        load_detector(exported, temporal=keys)
    kept = keys_file(graph).read_bytes()
    try:
        keys_file(graph).write_bytes(kept[:-9])
        with pytest.raises(WeightsError, match=r"corrupt|cut short"):
            load_head(graph)
        keys_file(graph).unlink()
        with pytest.raises(WeightsError, match=r"keys.* is missing"):
            load_head(graph)
    finally:
        keys_file(graph).write_bytes(kept)


@pytest.mark.parametrize("exported", [".onnx"], indirect=True)
def test_an_export_beyond_its_tolerances_leaves_nothing(
    exported: Path, model: Path, head: Path, frames: list[Frame]
) -> None:
    graph = head_path(exported)
    before = {one.name: one.read_bytes() for one in graph.parent.iterdir()}
    none = Tolerances(px=0, score=0)
    with pytest.raises(OutputError, match=r"not exported: corners .* px, allowed: 0 px"):
        export_head(str(model), head, exported, clip=frames[:4], tolerances=none)
    with pytest.raises(OutputError, match="memory changed no frame"):
        export_head(str(model), head, exported, clip=frames[:1])
    assert {one.name: one.read_bytes() for one in graph.parent.iterdir()} == before
