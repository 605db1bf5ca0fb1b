"""Motion as input: a network that is given none is the still one, and a run has one answer."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pytest
import torch

from vodkit.data.loader import FrameDataset, TrainingViews
from vodkit.data.transforms import Augment
from vodkit.detect import networks
from vodkit.detect.checkpoint import save_checkpoint
from vodkit.detect.export import export_detector
from vodkit.detect.models import build_network, load_detector
from vodkit.detect.motion import branch_of
from vodkit.fleet.pieces import detect_in_pieces
from vodkit.formats.predictions import read_frames
from vodkit.ground import runs
from vodkit.ground.errors import SettingsError
from vodkit.ground.records import Dataset, Detections, Frame, LabelledVideo
from vodkit.infer.flow import detect_video, make_detector, track_video
from vodkit.infer.folder import RunFolder
from vodkit.infer.run import run_source
from vodkit.infer.settings import InferSettings
from vodkit.serve.sessions import Sessions
from vodkit.train import batches
from vodkit.train.freeze import FREEZES, freeze
from vodkit.video.motion import Motion
from vodkit.video.reader import open_video
from vodkit.video.synth import Scene, SceneSettings, write_scene

SIDE, NUM_FRAMES = 96, 24
LAGS_S = (0.1, 0.4)
SETTINGS = SceneSettings(width_px=SIDE, height_px=SIDE, num_frames=NUM_FRAMES, size_px=(16, 30))
THRESHOLD = 0.02
pytestmark = pytest.mark.slow  # real networks


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene(SETTINGS)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, scene: Scene) -> Path:
    path = tmp_path_factory.mktemp("clip") / "scene.mp4"
    write_scene(scene, path)
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sample detector at a small size, and the same with a branch that was moved from zero."""
    folder = tmp_path_factory.mktemp("models")
    module, card = build_network("vodkit-street")
    small = replace(card.preprocessing, width_px=SIDE, height_px=SIDE)
    card = replace(card, preprocessing=small, url="")
    still = folder / "still.safetensors"
    save_checkpoint(module.state_dict(), replace(card, name="still"), still)
    module, card = networks.with_motion(module, card, LAGS_S)
    branch = branch_of(module)
    assert branch is not None
    torch.manual_seed(0)
    torch.nn.init.normal_(branch.out.weight, std=0.5)
    moving = folder / "moving.safetensors"
    save_checkpoint(module.state_dict(), replace(card, name="moving"), moving)
    return still, moving


def settings_of(model: Path, **others: object) -> InferSettings:
    return replace(
        InferSettings(model=str(model), runtime="torch", score_threshold=THRESHOLD), **others
    )


def equal(one: Sequence[Detections], other: Sequence[Detections]) -> bool:
    pairs = zip_longest(one, other)
    return all(a is not None and b is not None and _close(a, b, 0) for a, b in pairs)


def _close(one: Detections, other: Detections, px: float) -> bool:
    return len(one) == len(other) and bool(
        np.allclose(one.boxes_xyxy, other.boxes_xyxy, atol=px, rtol=0)
        and np.allclose(one.scores, other.scores, atol=px / 100, rtol=0)
    )


def found_in(model: Path, source: Path, **others: object) -> list[Detections]:
    settings = settings_of(model, tracker="none", **others)
    return [found for _, found in detect_video(source, settings=settings)]


def frames_of(path: Path) -> list[Frame]:
    with open_video(path) as video:
        return list(video.frames())


def test_without_motion_it_is_the_still_detector_bit_for_bit(
    models: tuple[Path, Path], clip: Path
) -> None:
    still, moving = (make_detector(settings_of(one)) for one in models)
    frames = frames_of(clip)[:4]
    assert equal(still.detect(frames), moving.detect(frames)), "single pictures"
    resting = [Frame(i, i / 25, frames[0].image) for i in range(4)]
    known = list(Motion(LAGS_S, lambda w, h: (w, h)).of(resting))
    assert equal(still.detect(resting), moving.detect(known)), "a picture that rests"


def test_a_fresh_branch_changes_nothing_even_where_something_moves(
    models: tuple[Path, Path], clip: Path, tmp_path: Path
) -> None:
    module, card = build_network(models[0])
    module, card = networks.with_motion(module, card, LAGS_S)
    fresh = tmp_path / "fresh.safetensors"
    save_checkpoint(module.state_dict(), card, fresh)
    assert equal(found_in(models[0], clip), found_in(fresh, clip))


def test_motion_reaches_the_boxes_and_batches_are_as_single_frames(
    models: tuple[Path, Path], clip: Path
) -> None:
    alone = found_in(models[1], clip, batch_size=1)
    assert not equal(alone, found_in(models[0], clip))
    for one, other in zip(alone, found_in(models[1], clip, batch_size=8), strict=True):
        assert _close(one, other, 0.01)


def test_every_nth_frame_is_found_as_among_all(models: tuple[Path, Path], clip: Path) -> None:
    alone = found_in(models[1], clip, batch_size=1)
    assert equal(alone[::3], found_in(models[1], clip, batch_size=1, every=3))


def test_two_videos_in_turn_are_two_runs(models: tuple[Path, Path], clip: Path) -> None:
    settings = settings_of(models[1], batch_size=1)
    detector = make_detector(settings)
    alone = [t for _, _, t in track_video(clip, detector, settings=settings)]
    both = zip(
        track_video(clip, detector, settings=settings),
        track_video(clip, detector, settings=settings),
        strict=True,
    )
    for (one, two), wanted in zip(both, alone, strict=True):
        for tracks in (one[2], two[2]):
            np.testing.assert_array_equal(tracks.boxes_xyxy, wanted.boxes_xyxy)


def test_a_run_that_was_stopped_ends_as_an_undisturbed_one(
    models: tuple[Path, Path], clip: Path, tmp_path: Path
) -> None:
    settings = settings_of(models[1], batch_size=1, every=2)
    detector = make_detector(settings)
    for name, stops_at in (("whole", None), ("stopped", 5)):
        folder = RunFolder(tmp_path / name)
        folder.prepare(settings)
        steps: Iterator[object] = run_source(clip, folder, detector, settings)
        for number, _ in enumerate(steps):
            if number == stops_at:
                steps.close()  # type: ignore[attr-defined]
                break
        if stops_at is not None:
            folder.prepare(settings, resume=True)
            list(run_source(clip, folder, detector, settings))
    whole, stopped = (tmp_path / name / runs.PREDICTIONS for name in ("whole", "stopped"))
    assert whole.read_bytes() == stopped.read_bytes()
    assert len(list(read_frames(whole))) == NUM_FRAMES // 2


def test_key_frames_are_found_with_motion(models: tuple[Path, Path], clip: Path) -> None:
    settings = settings_of(models[1], every="auto", batch_size=1)
    alone = found_in(models[1], clip, batch_size=1)
    seen = [(f.index, found) for f, found, _ in track_video(clip, settings=settings)]
    keys = [(index, found) for index, found in seen if len(found)]
    assert keys
    for index, found in keys:
        assert _close(found, alone[index], 0)


def test_the_service_compares_the_frames_of_a_session(models: tuple[Path, Path]) -> None:
    settings = settings_of(models[1])
    sessions = Sessions(make_detector(settings), settings)
    name = sessions.begin()
    assert sessions._of(name).motion is not None
    sessions.close()


def test_what_would_be_wrong_is_refused(
    models: tuple[Path, Path], clip: Path, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match="tiles with"):
        make_detector(settings_of(models[1], tiles="2x2"))
    detector = load_detector(models[1], runtime="torch")
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(SettingsError, match="allowed: one piece"):
        detect_in_pieces(str(clip), folder, detector, settings_of(models[1]), count=2)
    frame = frames_of(clip)[0]
    other = replace(frame, motion=np.zeros((8, 8, 2), np.uint8))
    with pytest.raises(SettingsError, match="motion of frame 0"):
        detector.detect([other])
    with pytest.raises(SettingsError, match="motion_lags_s"):
        replace(detector.card.preprocessing, motion_lags_s=(0.4, 0.1))


def training_views(clip: Path, scene: Scene, *, still: float = 0.0) -> TrainingViews:
    info = replace(scene.info, path=clip.name)
    video = LabelledVideo(source=clip.name, info=info, tracks=scene.truth, split="train")
    frames = FrameDataset(
        Dataset(classes=Scene.classes, videos=(video,)), clip.parent, motion_lags_s=LAGS_S, every=5
    )
    return TrainingViews(frames, (SIDE, SIDE), augment=Augment(), seed=0, still=still)


def test_training_sees_the_planes_of_inference(clip: Path, scene: Scene) -> None:
    views = training_views(clip, scene)
    known = {f.index: f for f in Motion(LAGS_S, lambda w, h: (w, h)).of(frames_of(clip))}
    for index, key in enumerate(views.frames.keys):
        example = views.view(index, 0)
        assert example.image.shape == (5, SIDE, SIDE)
        motion = known[key.frame].motion
        assert motion is not None
        np.testing.assert_array_equal(example.image[3:].permute(1, 2, 0).numpy(), motion)


def test_planes_are_mirrored_with_their_picture_and_withheld_at_times(
    clip: Path, scene: Scene
) -> None:
    plain = training_views(clip, scene)
    mirrored = TrainingViews(
        plain.frames,
        (SIDE, SIDE),
        augment=Augment(flip=1, zoom=(1.0, 1.0), stretch=0, shift=0, colour=0.3),
        seed=0,
    )
    one, other = plain.view(3, 0).image, mirrored.view(3, 1).image
    assert torch.equal(one[3:].flip(2), other[3:])
    none = training_views(clip, scene, still=1.0)
    assert bool((none.view(3, 1).image[3:] == 128).all())
    assert bool((none.view(3, 0).image[3:] != 128).any()), "the picture as it is keeps its past"


def test_stored_features_and_planes_give_the_losses_of_pictures(
    models: tuple[Path, Path], clip: Path, scene: Scene, tmp_path: Path
) -> None:
    module, card = build_network(models[1], classes=Scene.classes)
    freeze(module, card, FREEZES["backbone"])
    views = training_views(clip, scene)
    device = torch.device("cpu")
    cached = batches.plan_cache(
        module, card, views, tmp_path / "f16", views=1, most_bytes=2**28, device=device
    )
    assert not isinstance(cached, str)
    branch = branch_of(module)
    assert branch is not None
    assert cached.cuts[-1] == branch.place, "what comes after depends on the planes"
    cached.fill(module, card, views, device=device, watch=lambda *_: None, made_from={})
    module.eval()
    rows = range(4)
    graph = networks.deployed(module, card)
    stored = cached.batch(rows, [0] * 4, device)
    seen = batches.from_examples([views.view(i, 0) for i in rows], device)
    with torch.no_grad():
        (one,), (other,) = (
            batches.run_graph(graph, batch, cached.cuts if batch is stored else ())
            for batch in (stored, seen)
        )
    cached.close()
    assert torch.allclose(one, other, atol=0.05, rtol=1e-2)


def test_an_export_takes_motion_too(models: tuple[Path, Path], clip: Path, tmp_path: Path) -> None:
    known = list(Motion(LAGS_S, lambda w, h: (w, h)).of(frames_of(clip)))
    for ending, runtime in (("onnx", "onnx"), ("xml", "openvino")):
        path = tmp_path / f"moving.{ending}"
        certificate = export_detector(models[1], path, frames=known[12:16])
        assert certificate.passes
        original = found_in(models[1], clip, batch_size=1)
        settings = replace(settings_of(path, batch_size=1, tracker="none"), runtime=runtime)
        again = [found for _, found in detect_video(clip, settings=settings)]
        for one, other in zip(original, again, strict=True):
            assert _close(one, other, 0.5)
