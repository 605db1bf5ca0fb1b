"""Laws of embeddings: a box's numbers are its own, whoever else is there."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torchvision.ops import roi_align as reference

from vodkit.detect import reid_osnet
from vodkit.detect.base import (
    ModelCard,
    Output,
    Preprocessing,
    in_stream,
    write_card,
)
from vodkit.detect.checkpoint import save_checkpoint
from vodkit.detect.embed import (
    CROP_FAMILY,
    HEAD_FAMILY,
    Head,
    Pooled,
    PoolSettings,
    WithLooks,
    head_from,
    is_pooled,
    load_crops,
    load_pooled,
    osnet_card,
    threshold_of,
    unit,
)
from vodkit.detect.models import load_detector
from vodkit.detect.networks import build
from vodkit.detect.preprocess import Placement
from vodkit.detect.roi import roi_align
from vodkit.ground.errors import InputError, SettingsError, WeightsError
from vodkit.ground.records import Detections, Frame
from vodkit.samples.samples import CLIP_A
from vodkit.video.reader import open_video

SMALL = ModelCard(
    name="small",
    family="yolox",
    classes=("person", "car"),
    licence="Apache-2.0",
    source="made for a test",
    preprocessing=Preprocessing(width_px=64, height_px=64),
    output=Output(decoding="scored_boxes"),
    architecture={"size": "nano"},
)
SIZE = (96, 64)
AS_IT_IS = Placement(96, 64, 1.0, 1.0)


def a_map(seed: int = 0, channels: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(channels, 8, 12)).astype(np.float32)


def some_boxes(count: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, [60, 40], (count, 2))
    return np.hstack([corner, corner + rng.uniform(4, [36, 24], (count, 2))]).astype(np.float32)


def moved_right(boxes: np.ndarray, by_px: float) -> np.ndarray:
    return boxes + np.array([by_px, 0, by_px, 0])


def a_head(inside: int, size: int = 6) -> Head:
    rng = np.random.default_rng(5)
    layers = ((rng.normal(size=(size, inside)), rng.normal(size=size)),)
    shift, scale = rng.normal(size=inside), rng.uniform(0.5, 2, inside)
    as_floats = tuple((w.astype(np.float32), b.astype(np.float32)) for w, b in layers)
    return Head(shift.astype(np.float32), scale.astype(np.float32), as_floats)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("small") / "small.safetensors"
    save_checkpoint(build(SMALL).state_dict(), SMALL, path)
    return path


def frames(count: int) -> list[Frame]:
    rng = np.random.default_rng(0)
    return [
        Frame(i, i / 10, rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)) for i in range(count)
    ]


@pytest.mark.parametrize("bins", [(1, 1), (4, 2), (3, 5)])
def test_roi_align_equals_torchvisions(bins: tuple[int, int]) -> None:
    boxes, cells = some_boxes(20), a_map()
    found = roi_align(cells, boxes, scale=(1 / 8, 1 / 8), bins=bins)
    wanted = reference(
        torch.from_numpy(cells)[None], [torch.from_numpy(boxes)], bins, spatial_scale=1 / 8,
        sampling_ratio=2, aligned=True,
    )  # fmt: skip
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5)


def test_boxes_of_several_blocks_are_each_as_alone() -> None:
    boxes, cells = some_boxes(40), a_map()
    together = roi_align(cells, boxes, scale=(1 / 8, 1 / 8), bins=(3, 3))
    for row in range(40):
        alone = roi_align(cells, boxes[row : row + 1], scale=(1 / 8, 1 / 8), bins=(3, 3))
        assert np.array_equal(together[row], alone[0]), "to the bit"


@pytest.mark.parametrize("head", [None, a_head(40)], ids=["raw", "head"])
@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(7)), count=st.integers(0, 7))
def test_a_box_has_the_same_numbers_in_any_order_and_company(
    head: Head | None, order: list[int], count: int
) -> None:
    pooled = Pooled("test", head=head)
    boxes, maps = some_boxes(7), [a_map()]
    alone = [pooled.embed(maps, boxes[i : i + 1], AS_IT_IS, SIZE)[0] for i in range(7)]
    some = order[:count]
    together = pooled.embed(maps, boxes[some], AS_IT_IS, SIZE)
    assert together.shape == (count, 40 if head is None else 6)
    assert together.dtype == np.float32
    for row, i in enumerate(some):
        assert np.array_equal(together[row], alone[i]), "to the bit"
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(shift=st.floats(0.001, 2.0), seed=st.integers(0, 99))
def test_a_small_shift_changes_little_and_a_large_one_more(shift: float, seed: int) -> None:
    pooled, maps, box = Pooled("test"), [a_map(seed)], np.array([[20.0, 10, 50, 50]])
    here = pooled.embed(maps, box, AS_IT_IS, SIZE)[0]
    moved = pooled.embed(maps, moved_right(box, shift), AS_IT_IS, SIZE)[0]
    # One pixel is an eighth of a cell; bilinear reading is Lipschitz in it.
    assert np.linalg.norm(here - moved) <= shift
    far = pooled.embed(maps, moved_right(box, 24), AS_IT_IS, SIZE)[0]
    assert here @ far < here @ pooled.embed(maps, moved_right(box, 0.5), AS_IT_IS, SIZE)[0]


def test_boxes_are_in_source_pixels() -> None:
    box = np.array([[20.0, 10, 50, 50]])
    plain = Pooled("test").embed([a_map()], box, AS_IT_IS, SIZE)
    half = Pooled("test").embed([a_map()], box * [2, 3, 2, 3], Placement(192, 192, 2, 3), SIZE)
    np.testing.assert_allclose(plain, half, atol=1e-6)


def test_stages_are_joined_and_each_counts_alike() -> None:
    pooled = Pooled("test", PoolSettings(stages=("stage2", "stage3"), bins=(1, 1)))
    maps = [a_map(0, 3) * 1000, a_map(1, 4)]
    found = pooled.embed(maps, some_boxes(2), AS_IT_IS, SIZE)
    assert found.shape == (2, 7)
    np.testing.assert_allclose(np.square(found[:, :3]).sum(axis=1), 0.5, atol=1e-5)


def test_the_head_is_numpy_and_torch_alike() -> None:
    from vodkit.train.appearance import HeadNetwork

    head = a_head(40)
    linear = torch.nn.Linear(40, 6)
    linear.weight.data = torch.from_numpy(head.layers[0][0])
    linear.bias.data = torch.from_numpy(head.layers[0][1])
    network = HeadNetwork(
        torch.from_numpy(head.shift), torch.from_numpy(head.scale), torch.nn.ModuleList([linear])
    )
    x = np.random.default_rng(0).normal(size=(3, 40)).astype(np.float32)
    with torch.inference_mode():
        wanted = network(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(unit(np.array([head(row) for row in x])), wanted, atol=1e-5)
    state = {name: value.detach().numpy() for name, value in network.state_dict().items()}
    assert np.array_equal(head_from(state, where="here")(x[0]), head(x[0]))


@pytest.mark.parametrize("lost", ["shift", "scale", "layers.0.bias", "layers.0.weight"])
def test_a_torn_head_is_refused(lost: str) -> None:
    head = a_head(4)
    state = {"shift": head.shift, "scale": head.scale}
    state |= {"layers.0.weight": head.layers[0][0], "layers.0.bias": head.layers[0][1]}
    del state[lost]
    with pytest.raises(WeightsError, match="there: no appearance head"):
        head_from(state, where="there")


def test_detections_carry_them_and_are_the_same_as_without(checkpoint: Path) -> None:
    plain = load_detector(checkpoint, runtime="torch", score_threshold=0.0, max_detections=9)
    looking = load_detector(
        checkpoint, runtime="torch", score_threshold=0.0, max_detections=9, appearance="roi"
    )
    found, seen = plain.detect(frames(3)), looking.detect(frames(3))
    for one, other in zip(found, seen, strict=True):
        assert one.embeddings is None
        assert other.embeddings is not None
        assert other.embeddings.shape == (9, 64 * 8)  # CSPDarknet-nano has 64 channels in stage2
        assert replace(other, embeddings=None) == one
        assert np.array_equal(other[[3, 1]].embeddings, other.embeddings[[3, 1]])
    again = looking.detect(frames(3)[2:])[0]
    np.testing.assert_allclose(again.embeddings, seen[2].embeddings, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["openvino", "onnx"])
def test_every_runtime_sees_the_same_looks(
    runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VODKIT_CACHE", str(tmp_path))  # nothing that was converted before
    picture = [next(iter(open_video(CLIP_A).frames()))]
    expected = load_detector("vodkit-street", runtime="torch", appearance="roi").detect(picture)[0]
    found = load_detector("vodkit-street", runtime=runtime, appearance="roi").detect(picture)[0]
    assert len(found) == len(expected) > 5
    assert found.embeddings is not None
    assert expected.embeddings is not None
    np.testing.assert_allclose(found.embeddings, expected.embeddings, atol=1e-4)


def test_no_detections_are_legal(checkpoint: Path) -> None:
    nothing = load_detector(checkpoint, runtime="torch", score_threshold=1.0, appearance="roi")
    found = nothing.detect(frames(1))[0]
    assert found.embeddings is not None
    assert found.embeddings.shape == (0, 64 * 8)


def test_a_stage_that_is_not_there_is_told(checkpoint: Path) -> None:
    from vodkit.detect.maps import with_maps
    from vodkit.detect.networks import deployed

    module = build(SMALL)
    with pytest.raises(SettingsError, match="did you mean stage3"):
        with_maps(deployed(module, SMALL), SMALL, ["stage33"])


def head_file(folder: Path, detector_sha256: str, features: int = 512) -> Path:
    head, path = a_head(features), folder / "head.safetensors"
    card = replace(
        SMALL,
        name="head",
        family=HEAD_FAMILY,
        architecture={
            "detector": "small", "detector_sha256": detector_sha256, "stages": ["stage2"],
            "bins": [4, 2], "threshold": 0.6,
        },
    )  # fmt: skip
    state = {"shift": head.shift, "scale": head.scale}
    state |= {"layers.0.weight": head.layers[0][0], "layers.0.bias": head.layers[0][1]}
    save_checkpoint({name: torch.from_numpy(x) for name, x in state.items()}, card, path)
    return path


def test_a_head_belongs_to_one_detector(checkpoint: Path, tmp_path: Path) -> None:
    detector = load_detector(checkpoint, runtime="torch")
    path = head_file(tmp_path, detector.card.sha256)
    assert is_pooled(path)
    assert threshold_of(path) == 0.6
    looking = load_detector(
        checkpoint, runtime="torch", score_threshold=0.0, max_detections=5, appearance=path
    )
    looks = looking.detect(frames(1))[0].embeddings
    assert looks is not None
    assert looks.shape == (5, 6)
    with pytest.raises(WeightsError, match=r"was made for small .*, not for other"):
        load_pooled(path, replace(detector.card, name="other", sha256="0" * 64))
    torn = tmp_path / "torn"
    torn.mkdir()
    other = head_file(torn, detector.card.sha256)
    other.write_bytes(other.read_bytes()[:-4] + b"1234")
    with pytest.raises(WeightsError, match="corrupt"):
        load_pooled(other, detector.card)
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    narrow = load_detector(
        checkpoint,
        runtime="torch",
        score_threshold=0.0,
        appearance=head_file(wrong, detector.card.sha256, features=100),
    )
    with pytest.raises(WeightsError, match="gives 512 features, the head takes 100"):
        narrow.detect(frames(1))


def test_words_that_mean_nothing_are_told(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="'blue'; allowed: roi, colour"):
        load_detector(checkpoint, runtime="torch", appearance="blue")
    with pytest.raises(WeightsError, match=r"none\.safetensors is missing"):
        load_detector(checkpoint, runtime="torch", appearance="none.safetensors")
    with pytest.raises(SettingsError, match="gives no embeddings"):
        load_detector(checkpoint, runtime="torch", appearance=checkpoint)
    stray = tmp_path / "stray.safetensors"
    stray.write_bytes(b"")
    with pytest.raises(WeightsError, match=r"put stray\.card\.json beside it"):
        is_pooled(stray)
    with pytest.raises(SettingsError, match="not a foreign graph"):
        load_pooled("roi", replace(SMALL, family="graph"))
    for bad in ({"stages": ()}, {"stages": ("a", "a")}, {"bins": (4,)}, {"bins": (0, 2)}):
        with pytest.raises(SettingsError):
            PoolSettings(**bad)


@pytest.fixture(scope="module")
def osnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published-looking weight file: with a classifier, and without a card."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("osnet") / "osnet_x0_25_test.pth"
    state = {**reid_osnet.build("x0_25").state_dict(), "classifier.weight": torch.zeros(3, 512)}
    torch.save(state, path)
    return path


def test_a_network_for_crops(osnet: Path) -> None:
    assert not is_pooled(osnet)
    crops = load_crops(osnet, runtime="torch", device="cpu")
    frame = frames(1)[0]
    boxes = np.array([[2, 2, 30, 40], [10, 5, 50, 45], [-9, -9, -1, -1], [2, 2, 30, 40]])
    found = crops(frame, Detections(boxes, np.ones(4), np.zeros(4)))
    assert found.shape == (4, 512)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [1, 1, 0, 1], atol=1e-6)
    np.testing.assert_allclose(found[0], found[3], atol=1e-6)
    alone = crops(frame, Detections(boxes[1:2], [0.5], [0]))
    np.testing.assert_allclose(alone[0], found[1], atol=1e-5)
    assert crops(frame, Detections.empty()).shape == (0, 512)


def test_looks_are_put_on_what_any_detector_finds(checkpoint: Path) -> None:
    detector = load_detector(checkpoint, runtime="torch", score_threshold=0.0, max_detections=4)
    looking = WithLooks(detector, lambda _, found: found.boxes_xyxy[:, :2] + 1)
    seen = frames(2)
    streamed = in_stream(looking, seen, 8)
    for found, (frame, again) in zip(looking.detect(seen), streamed, strict=True):
        wanted = unit(found.boxes_xyxy[:, :2] + 1)
        assert np.array_equal(found.embeddings, wanted)
        assert np.array_equal(again.embeddings, wanted)
        assert frame in seen
    assert looking.classes == SMALL.classes
    assert looking.runs_on == detector.runs_on


@pytest.mark.slow
def test_osnet_files_have_a_card_or_a_known_name(osnet: Path, tmp_path: Path) -> None:
    own = tmp_path / "mine.safetensors"
    save_file(reid_osnet.build("x0_25").state_dict(), own)
    write_card(replace(osnet_card("x0_25", own), name="mine"), tmp_path / "mine.card.json")
    assert load_crops(own, runtime="torch", device="cpu").name == "mine"
    with pytest.raises(SettingsError, match=CROP_FAMILY):
        load_crops(head_file(tmp_path, ""), runtime="torch")
    bad = tmp_path / "osnet_x0_25_bad.pth"
    torch.save({"a": torch.zeros(1)}, bad)
    with pytest.raises(WeightsError, match="no OSNet"):
        load_crops(bad, runtime="torch", device="cpu")


@pytest.mark.parametrize("width", reid_osnet.WIDTHS)
def test_osnet_has_the_published_sizes(width: str) -> None:
    millions = {"x1_0": 2.19, "x0_75": 1.30, "x0_5": 0.64, "x0_25": 0.20}  # table 7, and model zoo
    net = reid_osnet.build(width).eval()
    count = sum(p.numel() for p in net.parameters()) / 1e6
    assert count == pytest.approx(millions[width], abs=0.03)
    with torch.inference_mode():
        assert net(torch.zeros(1, 3, 64, 32)).shape == (1, 512)


def test_records_check_embeddings() -> None:
    box = [[0, 0, 1, 1]]
    with pytest.raises(InputError, match=r"embeddings are \(2, 3\); allowed: \(1, D\)"):
        Detections(box, [1.0], [0], np.zeros((2, 3)))
    with pytest.raises(InputError, match="not finite"):
        Detections(box, [1.0], [0], np.full((1, 3), np.nan))
    one = Detections(box, [1.0], [0], np.ones((1, 3)))
    assert one == Detections(box, [1.0], [0], np.ones((1, 3)))
    assert one != Detections(box, [1.0], [0])
