"""Every family runs, is recorded and learns on a pretended GPU: nothing on two devices."""

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pretend_cuda import CudaLike, capturing, pretending
from torch import nn

from vodkit.detect import devices, networks
from vodkit.detect.base import ModelCard
from vodkit.detect.decode import UNBATCHED
from vodkit.detect.detector import GraphDetector
from vodkit.detect.devices import device_of, usable_gpu
from vodkit.detect.models import build_network, load_detector
from vodkit.detect.runtimes import choice, table
from vodkit.detect.runtimes.cuda_graphs import CudaGraphRuntime
from vodkit.detect.runtimes.torch_module import TorchRuntime
from vodkit.detect.targets import Target
from vodkit.ground.errors import SettingsError, ShortageError
from vodkit.train.loop import train
from vodkit.train.settings import TrainSettings

SIDE = 64
FAST = ("yolox_nano",)
SLOW = (
    "ssdlite320_mobilenet_v3_large",
    "vodkit-street",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "retinanet_resnet50_fpn",
    "fcos_resnet50_fpn",
)
TINY_HF = (
    "rt_detr",
    "rt_detr_v2",
    "d_fine",
    "detr",
    "conditional_detr",
    "deformable_detr",
    "yolos",
)
NAMES = [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in (*SLOW, *TINY_HF))]
UNRECORDABLE = ("fasterrcnn_mobilenet_v3_large_320_fpn", "deformable_detr")
GPU = torch.device("cuda", 0)
Network = tuple[nn.Module, ModelCard]
UNIT = Path(__file__).parent.parent / "unit"


def module_at(path: Path) -> Any:
    """A file of other tests, under a name of its own."""
    described = importlib.util.spec_from_file_location(f"borrowed_{path.stem}", path)
    assert described is not None
    assert described.loader is not None
    module = importlib.util.module_from_spec(described)
    described.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def square_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset of the tests of training."""
    made: Path = module_at(UNIT / "train" / "conftest.py").squares(
        tmp_path_factory.mktemp("squares")
    )
    return made


@pytest.fixture(scope="session")
def tiny_hf() -> Any:
    """Configurations of Hugging Face networks of a few thousand numbers."""
    pytest.importorskip("transformers", reason="the extra hf is not installed")
    return module_at(UNIT / "detect" / "test_hf_family.py")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def network(request: pytest.FixtureRequest, tmp_path: Path) -> Network:
    """A small network with random weights, on the CPU, built before anything is pretended."""
    name = request.param
    torch.manual_seed(0)
    if name in TINY_HF:
        hf = request.getfixturevalue("tiny_hf")
        name = hf.hub_folder(tmp_path, name, dict(enumerate(hf.CLASSES)))
    module, card = build_network(name, weights="random")
    size = replace(card.preprocessing, width_px=SIDE, height_px=SIDE)
    return module, replace(card, preprocessing=size)


def pictures(card: ModelCard, count: int) -> list[np.ndarray]:
    side = (card.preprocessing.height_px, card.preprocessing.width_px, 3)
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, side, dtype=np.uint8) for _ in range(count)]


def assert_same(found: Sequence[tuple[Any, ...]], expected: Sequence[tuple[Any, ...]]) -> None:
    """Equal but for rounding; of random networks the best of near-equal classes may differ."""
    for one, other in zip(found, expected, strict=True):
        for a, b in zip(one, other, strict=True):
            columns = slice(0, 5) if a.shape[-1:] == (6,) else slice(None)
            np.testing.assert_allclose(a[..., columns], b[..., columns], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("network", NAMES, indirect=True)
def test_a_network_runs_is_recorded_and_learns_on_a_gpu(network: Network) -> None:
    """The outputs are the CPU's; recording sees no copy and no wait; losses are on one device."""
    module, card = network
    batched = card.output.decoding not in UNBATCHED
    some = pictures(card, 2 if batched else 1)
    graph = networks.deployed(module.eval(), card)
    expected = TorchRuntime(graph, device=torch.device("cpu"), batched=batched).run(some)
    with pretending():
        module.to(GPU)
        # Parts that the graph itself makes must follow the module, as training relies on.
        follows = networks.deployed(module, card)
        assert all(isinstance(one, CudaLike) for one in (*follows.buffers(), *follows.parameters()))
        found = TorchRuntime(follows, device=GPU, batched=batched).run(some)
        if not networks.why_not_recorded(card):
            recorded = CudaGraphRuntime(follows, device=GPU, batched=True, amp=False)
            assert_same(recorded.run(some), found)
            # A replay, with other pictures in each place.
            assert_same(recorded.run(some[::-1])[::-1], found)
        check_losses(module, card)
    assert_same(found, expected)
    on_meta = networks.deployed(module.to("meta"), card)
    tensors = {**dict(on_meta.named_parameters()), **dict(on_meta.named_buffers())}
    assert [name for name, tensor in tensors.items() if tensor.device.type != "meta"] == []


def check_losses(module: nn.Module, card: ModelCard) -> None:
    side = card.preprocessing.height_px
    images = torch.randint(0, 255, (2, 3, side, side), dtype=torch.uint8)
    box = torch.tensor([[8.0, 8.0, 40.0, 40.0], [5, 5, 5, 5]])
    targets = [Target(box.to(GPU), torch.tensor([0, 1]).to(GPU)) for _ in range(2)]
    losses = networks.losses(module.train(), card, images.to(GPU), targets)
    assert losses
    assert all(isinstance(loss, CudaLike) for loss in losses.values())
    assert all(bool(torch.isfinite(loss)) for loss in losses.values())


@pytest.mark.parametrize("network", UNRECORDABLE, indirect=True)
@pytest.mark.slow
def test_what_cannot_be_recorded_is_refused_by_name(network: Network) -> None:
    module, card = network
    wanted = table.Runnable(
        card=card, device="cuda", graph=lambda: networks.deployed(module.eval(), card), kept=False
    )
    with pretending():
        with pytest.raises(SettingsError, match=r"runtime cuda: .*; allowed: torch, compile"):
            table.RUNTIMES["cuda"](wanted)
        assert table.candidates(wanted) == ("torch",)


class Conv(nn.Module):
    """A graph for tests of runtimes; ``broken`` waits for the GPU, which cannot be recorded."""

    def __init__(self, *, broken: bool = False) -> None:
        super().__init__()
        self.conv, self.broken = nn.Conv2d(3, 6, 8, stride=8), broken

    def forward(self, pictures_BHW3: torch.Tensor) -> torch.Tensor:
        x = self.conv(pictures_BHW3.permute(0, 3, 1, 2).float()).flatten(2).transpose(1, 2)
        if self.broken and bool(x.isnan().any()):
            return -x
        return x.sigmoid()


def test_a_graph_that_waits_is_refused_when_it_is_recorded() -> None:
    with pretending():
        runtime = CudaGraphRuntime(Conv(broken=True), device=GPU, batched=True, amp=False)
        with pytest.raises(SettingsError, match=r"cannot be recorded \(.*\); allowed: torch"):
            runtime.run([np.zeros((16, 16, 3), np.uint8)])


def test_few_recorded_graphs_are_kept() -> None:
    """A folder of pictures of many sizes does not fill the GPU."""
    with pretending():
        runtime = CudaGraphRuntime(Conv(), device=GPU, batched=True, amp=False)
        for height in range(8, 200, 8):
            assert len(runtime.run([np.zeros((height, 16, 3), np.uint8)])) == 1
        assert len(runtime._recorded) == 8
        for _ in range(2):  # the second of one size in a row takes the place of the oldest
            runtime.run([np.zeros((400, 16, 3), np.uint8)])
        assert (1, 400, 16, 3) in runtime._recorded
        assert len(runtime._recorded) == 8


@pytest.mark.parametrize("make", [TorchRuntime, CudaGraphRuntime])
def test_batches_that_do_not_fit_are_halved(make: Callable[..., Any]) -> None:
    limit = 2
    sizes: list[int] = []

    class Full(Conv):
        def forward(self, pictures_BHW3: torch.Tensor) -> torch.Tensor:
            sizes.append(len(pictures_BHW3))
            if len(pictures_BHW3) > limit:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
            return super().forward(pictures_BHW3)

    words = {"amp": False} if make is CudaGraphRuntime else {}
    some = [np.zeros((16, 16, 3), np.uint8)] * 8
    with pretending():
        runtime = make(Full(), device=GPU, batched=True, **words)
        assert len(runtime.run(some)) == 8
        assert sizes[0] == 8
        sizes.clear()
        assert len(runtime.run(some)) == 8
        assert max(sizes, default=1) <= limit  # the limit is remembered
        limit = 0
        with pytest.raises(torch.OutOfMemoryError):
            make(Full(), device=GPU, batched=True, **words).run(some)


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> Iterator[None]:
    """A GPU that torch reports as available, on which nothing runs."""

    def fails(*_: object, **__: object) -> torch.Tensor:
        raise error

    with pretending(), monkeypatch.context() as patched:
        patched.setattr(torch.nn.functional, "conv2d", fails)
        yield


FAULTS = (
    RuntimeError("Found no NVIDIA driver on your system."),
    torch.AcceleratorError("CUDA error: no kernel image is available for execution"),
    torch.OutOfMemoryError("CUDA out of memory."),
    AssertionError("Torch not compiled with CUDA enabled"),
)


@pytest.mark.parametrize("error", FAULTS, ids=lambda error: type(error).__name__)
def test_a_gpu_that_fails_is_reported_and_the_cpu_used(
    error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VODKIT_CACHE", str(tmp_path))
    with failing(monkeypatch, error):
        assert usable_gpu().fault == str(error)
        assert usable_gpu().line.endswith("running on the CPU")
        assert device_of("auto").type == "cpu"
        with pytest.raises(SettingsError, match="device is 'cuda', which is not usable: "):
            device_of("cuda")
    with failing(monkeypatch, error):
        usable_gpu()
        monkeypatch.undo()  # what follows runs on the CPU; the fault is remembered
        monkeypatch.setenv("VODKIT_CACHE", str(tmp_path))
        detector = load_detector("yolox_nano", weights="random")
        assert isinstance(detector, GraphDetector)
        assert detector.runs_on.device == "cpu"
        assert detector.choice is not None
        assert "the GPU cannot be used: " in detector.choice.line()


def test_auto_lets_the_gpu_and_the_cpu_compete(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("VODKIT_CACHE", str(tmp_path))
    _, card = build_network("yolox_nano", weights="random")
    size = replace(card.preprocessing, width_px=SIDE, height_px=SIDE)
    card = replace(card, preprocessing=size, output=replace(card.output, decoding="scored_boxes"))
    torch.manual_seed(0)
    conv = Conv()
    wanted = table.Runnable(card=card, device="auto", graph=lambda: conv)
    with pretending():
        names = table.candidates(wanted)
        assert names[:2] == ("cuda on cuda:0", "torch on cuda:0")
        assert names[-1] == "torch on cpu"
        monkeypatch.setitem(choice.RUNTIMES, "openvino", _refusing)  # it converts in C++
        monkeypatch.setitem(choice.RUNTIMES, "onnx", _refusing)
        found = choice.choose(wanted, load=0.0)
        by_name = {trial.runtime: trial.refused for trial in found.trials}
        assert not by_name["cuda on cuda:0"]
        assert not by_name["torch on cuda:0"]
        assert choice.machine("auto")["gpu"] == "Pretended GPU"
        name, where = table.way(found.runtime, wanted)
        assert name in table.RUNTIMES
        assert where.device in {"cuda:0", "cpu"}
        exact = replace(wanted, device="cuda:0")
        assert table.candidates(exact) == ("cuda", "torch")


def _refusing(_wanted: table.Runnable) -> Any:
    raise ShortageError("left out of this test")


@pytest.mark.slow
def test_an_exported_file_stays_on_the_cpu_for_auto(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And moves, constants included, to a GPU that is named."""
    from vodkit.detect.runtimes.torch_module import read_exported

    class Adds(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.float() + torch.arange(3)

    path = tmp_path / "adds.pt2"
    torch.export.save(
        torch.export.export(Adds(), (torch.zeros(1, 4, 4, 3, dtype=torch.uint8),)), path
    )
    _, card = build_network("yolox_nano", weights="random")
    monkeypatch.setattr(table, "require_trust", lambda _path: None)
    with pretending():
        wanted = table.Runnable(card=card, device="auto", file=path)
        assert table.candidates(wanted) == ("torch",)
        assert str(table.RUNTIMES["torch"](wanted).runs_on) == "torch on cpu"
        moved = read_exported(path, GPU)
        out = moved(torch.zeros(1, 4, 4, 3, dtype=torch.uint8).to(GPU))
        assert isinstance(out, CudaLike)


def test_tf32_is_off_within_and_as_before_after() -> None:
    cudnn = torch.backends.cudnn
    seen: list[tuple[bool, str]] = []
    with pretending():
        before = (cudnn.allow_tf32, torch.get_float32_matmul_precision())
        with devices.exact_float32(GPU):
            seen.append((cudnn.allow_tf32, torch.get_float32_matmul_precision()))
        assert (cudnn.allow_tf32, torch.get_float32_matmul_precision()) == before
    assert seen == [(False, "highest")]


def test_capturing_refuses_what_cuda_refuses() -> None:
    """The harness itself: mixed devices, copies and waits are seen."""
    with pretending():
        here, there = torch.ones(3), torch.ones(3, device=GPU)
        with pytest.raises(RuntimeError, match="found at least two devices"):
            here + there
        assert float((there + there).sum().cpu()) == 6
        with capturing(), pytest.raises(RuntimeError, match="not permitted while"):
            here.to(GPU)
        with capturing(), pytest.raises(RuntimeError, match="not permitted while"):
            bool(there.any())
        with pytest.raises(TypeError, match="numpy"):
            there.numpy()
    assert not torch.cuda.is_available()


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [{"freeze": "backbone", "cache": "on"}, {"precision": "bf16"}, {"workers": 1}],
    ids=["cached", "bf16", "workers"],
)
def test_training_starts_validates_and_saves_on_a_gpu(
    words: dict[str, Any], square_data: Path, tmp_path: Path
) -> None:
    """All but the backward pass; the random state of the GPU is saved to resume from."""
    wanted = {"freeze": "none", "cache": "off", **words}
    settings = TrainSettings(
        data=str(square_data), out=str(tmp_path), model="yolox_nano", weights="random",
        width_px=32, height_px=32, epochs=1, still_iou=2.0, batch_size=8, device="cuda", **wanted,
    )  # fmt: skip
    with pretending():
        found = train(settings)
    assert found.ap is not None
    assert found.cached == (words.get("cache") == "on")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert len(state["random of the device"]) == 1
    assert all(not isinstance(one, CudaLike) for one in state["module"].values())
