"""``--runtime auto``: measured, remembered, and only among those that say the same."""

import errno
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vodkit.detect import networks
from vodkit.detect.base import ModelCard, Output, Preprocessing, RunsOn, write_card
from vodkit.detect.checkpoint import save_checkpoint
from vodkit.detect.models import load_detector
from vodkit.detect.runtimes import choice, table
from vodkit.detect.runtimes.base import StreamRuntime, write_whole
from vodkit.detect.runtimes.choice import Choice, Trial, measure, recall, remember
from vodkit.detect.runtimes.openvino_graph import convert, save_model
from vodkit.detect.runtimes.torch_module import TorchRuntime
from vodkit.detect.weights import digest
from vodkit.ground import ledger, settings
from vodkit.ground.errors import OutputError, SettingsError, ShortageError, WeightsError
from vodkit.infer.batch import _began_on
from vodkit.infer.flow import make_detector
from vodkit.infer.folder import RunFolder
from vodkit.infer.settings import InferSettings

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
FIT = Preprocessing(width_px=192, height_px=64, resize="fit")
PICTURES = [np.zeros((64, 64, 3), np.uint8)] * 2
ROW = np.array([[1.0, 2, 30, 40, 0.9, 0], [5, 5, 20, 20, 0.4, 1]], np.float32)


class Says:
    """A runtime that always says ``rows``, after doing ``work``."""

    runs_on = RunsOn("says", "cpu")

    def __init__(self, rows: np.ndarray, work: int = 0) -> None:
        self.rows, self.work = rows, work

    def run(self, pictures: Sequence[np.ndarray]) -> list[tuple[np.ndarray, ...]]:
        for _ in range(self.work * len(pictures)):
            np.sort(np.arange(200_000)[::-1] % 977)
        return [(self.rows.copy(),) for _ in pictures]


def broken() -> Says:
    raise WeightsError("no such thing")


def test_the_clearly_faster_one_is_chosen_and_others_are_told() -> None:
    found = measure(
        {
            "slow": lambda: Says(ROW, 3),
            "wrong": lambda: Says(ROW + 1),
            "broken": broken,
            "fast": lambda: Says(ROW),
            "reference": lambda: Says(ROW, 3),
        },
        PICTURES,
        SMALL,
    )
    by_name = {trial.runtime: trial for trial in found.trials}
    assert found.runtime == "fast"
    assert by_name["wrong"].refused.startswith("differs by")
    assert by_name["broken"].refused == "does not run: no such thing"
    assert by_name["slow"].one_ms > by_name["fast"].one_ms >= 0
    assert "runtime: fast (measured here: slow " in found.line()
    with pytest.raises(SettingsError, match="no runtime to choose: reference: no such thing"):
        measure({"fast": lambda: Says(ROW), "reference": broken}, PICTURES, SMALL)


@pytest.mark.parametrize(("second_ms", "wins"), [(10.0, "b"), (18.0, "a"), (21.0, "a")])
def test_a_later_runtime_must_be_clearly_faster(second_ms: float, wins: str) -> None:
    trials = [
        Trial(runtime="a", one_ms=20.0, batch_ms=20.0),
        Trial(runtime="b", one_ms=second_ms, batch_ms=second_ms),
        Trial(runtime="c", refused="differs by 3 px"),
    ]
    assert choice._best(trials) == wins


def test_what_is_remembered_comes_back_and_rubbish_does_not(tmp_path: Path) -> None:
    made = Choice(runtime="onnx", trials=(Trial(runtime="onnx", one_ms=1.5, batch_ms=1.25),))
    path = tmp_path / "runtimes" / "m.json"
    assert recall(path) is None
    remember(path, made, {"model": "m"})
    assert recall(path) == made
    rubbish = [b"", b"{", b"[]", b"null", b'{"choice": 3}', b"\xff"]
    rubbish += [b'{"choice": {"runtime": "onnx", "what": 1}}', b'{"choice": {"trials": []}}']
    for content in rubbish:
        path.write_bytes(content)
        assert recall(path) is None, content
    (tmp_path / "file").write_text("in the way")
    remember(tmp_path / "file" / "m.json", made, {})  # a cache that cannot be written is no error


class Tiny(torch.nn.Module):
    """A graph with rows of boxes that converts in no time."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.layer = torch.nn.Conv2d(3, 6, 16, stride=16)

    def forward(self, pictures_BHW3: torch.Tensor) -> torch.Tensor:
        """(B, A, 6)."""
        return (
            self.layer(pictures_BHW3.permute(0, 3, 1, 2).float() / 255)
            .flatten(2)
            .transpose(1, 2)
            .sigmoid()
        )


@pytest.fixture
def wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> table.Runnable:
    monkeypatch.setenv("VODKIT_CACHE", str(tmp_path / "cache"))
    return table.Runnable(card=SMALL, device="cpu", graph=lambda: Tiny().eval())


@pytest.fixture
def of_any_size(wanted: table.Runnable) -> table.Runnable:
    """The same network, whose input follows the picture."""
    return replace(wanted, card=replace(SMALL, preprocessing=FIT))


@pytest.mark.slow
def test_auto_measures_once_and_then_remembers(
    wanted: table.Runnable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = choice.choose(wanted, load=0.1)
    assert [trial.runtime for trial in first.trials] == list(table.candidates(wanted))
    assert not [trial.refused for trial in first.trials if trial.refused]
    kept = list((tmp_path / "cache" / "runtimes").glob("small-*.json"))
    assert len(kept) == 1
    facts = json.loads(kept[0].read_text())["measured_on"]
    assert facts["input_px"] == [64, 64]
    assert {"cpu", "cores"} <= facts["machine"].keys()
    assert {"torch", "openvino", "vodkit"} <= facts["versions"].keys()
    with monkeypatch.context() as patched:
        patched.setattr(choice, "measure", lambda *_: pytest.fail("measured again"))
        assert choice.choose(wanted, load=4.0) == first
    kept[0].write_text("{torn")
    once_more = choice.choose(wanted, load=0.1)
    assert once_more.trials
    assert recall(kept[0]) == once_more
    busy = replace(once_more, load=3.0)
    assert "while the machine was busy" in busy.line()
    remember(kept[0], busy, {"model": "small"})
    assert choice.choose(wanted, load=1.0) == busy  # as busy as then
    assert not choice.choose(wanted, load=0.1).on_busy_machine  # at leisure: measured again
    other = replace(SMALL, preprocessing=replace(SMALL.preprocessing, width_px=96))
    choice.choose(replace(wanted, card=other))
    assert len(list(kept[0].parent.iterdir())) == 2  # another input size, another measurement


@pytest.mark.slow
def test_what_lacked_threads_today_is_tried_again_tomorrow(
    wanted: table.Runnable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is passed over, but that is not remembered."""

    def lacking(_wanted: table.Runnable) -> Says:
        raise ShortageError("Resource temporarily unavailable")

    with monkeypatch.context() as patched:
        patched.setitem(table.RUNTIMES, "openvino", lacking)
        found = choice.choose(wanted, load=0.1)
    assert "openvino does not run: the machine cannot start more threads" in found.line()
    assert found.runtime in ("onnx", "torch")
    assert not (tmp_path / "cache" / "runtimes").exists()


def _in_the_way(folder: Path) -> Path:
    """A file where a folder is wanted: nobody can write there, root neither."""
    (folder / "file").write_text("in the way")
    return folder / "file"


@pytest.mark.slow
@pytest.mark.parametrize(("runtime", "ending"), [("openvino", ".bin"), ("onnx", ".onnx")])
def test_a_damaged_kept_graph_is_made_anew(
    wanted: table.Runnable, tmp_path: Path, runtime: str, ending: str
) -> None:
    expected = table.RUNTIMES[runtime](wanted).run(PICTURES)[0][0]
    kept = next((tmp_path / "cache" / runtime).glob(f"*{ending}"))
    whole = kept.read_bytes()
    number = np.float32(1.5).tobytes()
    for harm in (whole[:40], whole[:-64] + number * 16):  # the second can still be read
        kept.write_bytes(harm)
        again = table.RUNTIMES[runtime](wanted).run(PICTURES)[0][0]
        np.testing.assert_array_equal(again, expected)
        assert kept.read_bytes() == whole
    kept.unlink()
    np.testing.assert_array_equal(table.RUNTIMES[runtime](wanted).run(PICTURES)[0][0], expected)
    hidden = {path.name for path in kept.parent.iterdir() if path.name.startswith(".")}
    assert hidden <= {ledger.NAME}


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_costs_time_or_is_told(
    wanted: table.Runnable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VODKIT_CACHE", str(_in_the_way(tmp_path)))
    assert len(table.RUNTIMES["openvino"](wanted).run(PICTURES)) == 2
    with pytest.raises(OutputError, match=r"file/onnx: cannot make the folder"):
        table.RUNTIMES["onnx"](wanted).run(PICTURES)
    chosen = choice.choose(wanted, load=0.1)
    refused = {trial.runtime: trial.refused for trial in chosen.trials}
    assert "cannot make the folder" in refused["onnx"]
    assert not refused["openvino"]


def test_files_are_whole_or_not_there(tmp_path: Path) -> None:
    def half(path: Path) -> None:
        path.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    out = tmp_path / "new" / "m.xml"
    with pytest.raises(OutputError, match=r"m\.xml: cannot write: No space left"):
        write_whole(out, half)
    assert {path.name for path in out.parent.iterdir()} <= {ledger.NAME}
    model = convert(Tiny().eval(), SMALL.preprocessing)
    with pytest.raises(OutputError, match="OpenVINO cannot write the graph"):
        save_model(model, _in_the_way(tmp_path) / "m.xml")
    write_whole(out, partial(save_model, model))
    assert sorted(path.name for path in out.parent.iterdir()) == [ledger.NAME, "m.bin", "m.xml"]
    write_card(replace(SMALL, family="graph", sha256=digest(out)), tmp_path / "new/m.card.json")
    out.with_suffix(".bin").unlink()
    with pytest.raises(WeightsError, match=r"m\.xml: its weights, m\.bin, are missing"):
        load_detector(out)


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VODKIT_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "small.safetensors"
    save_checkpoint(networks.build(SMALL).state_dict(), SMALL, path)
    return path


def test_a_named_runtime_is_never_measured(checkpoint: Path, tmp_path: Path) -> None:
    found = load_detector(checkpoint, runtime="torch", device="cpu")
    assert (found.runs_on, found.choice) == (("torch", "cpu"), None)
    assert not (tmp_path / "cache" / "runtimes").exists()
    random = load_detector("yolox_nano", weights="random", device="cpu")
    assert random.choice is not None
    assert "not measured" in random.choice.why


def test_a_run_resumes_with_the_runtime_that_auto_was_when_it_began(
    checkpoint: Path, tmp_path: Path
) -> None:
    wanted = InferSettings(model=str(checkpoint))
    folders = {name: RunFolder(tmp_path / name) for name in ("torch", "openvino", "done")}
    for name, folder in folders.items():
        folder.path.mkdir()
        runtime = "onnx" if name == "done" else name
        began = replace(wanted, runtime=runtime, device="cpu")
        (folder / "settings.toml").write_text(settings.to_toml(began))
    manifest = {
        "source": "a.mp4",
        "source_sha256": None,
        "model": {},
        "runtime": "",
        "versions": {},
    }
    done = json.dumps({**manifest, "ended": "complete", "num_frames": 0})
    (folders["done"] / "manifest.json").write_text(done)
    (folders["done"] / "predictions.jsonl").write_text("{}\n")
    for name in ("torch", "openvino"):
        began_on = _began_on(wanted, [folders["done"], folders[name]])
        found = make_detector(wanted, runs_on=began_on)
        assert (found.runs_on, found.choice) == ((name, "cpu"), None)
    assert not (tmp_path / "cache" / "runtimes").exists()  # nothing was measured
    assert _began_on(replace(wanted, runtime="torch"), [folders["openvino"]]) is None
    with pytest.raises(SettingsError, match="began with openvino on cpu, torch on cpu"):
        _began_on(wanted, list(folders.values()))


@pytest.mark.parametrize("name", ["cuda", "cuda-amp"])
def test_a_gpu_runtime_without_a_gpu_says_so(checkpoint: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="needs an NVIDIA GPU"):
        load_detector(checkpoint, runtime=name, device="cpu")
    if not torch.cuda.is_available():
        with pytest.raises(SettingsError, match="no CUDA GPU"):
            load_detector(checkpoint, runtime=name)


def test_a_device_that_is_not_here_is_told(checkpoint: Path) -> None:
    for device in ("meta", "hpu", "xyz", "cuda:99"):
        with pytest.raises(SettingsError, match=f"device is '{device}'"):
            load_detector(checkpoint, runtime="torch", device=device)


def test_compile_without_a_compiler_says_so(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(SettingsError, match=r"compile needs a C\+\+ compiler: CXX is 'no-such"):
        load_detector(checkpoint, runtime="compile", device="cpu")


def test_bf16_only_where_the_cpu_has_it(wanted: table.Runnable) -> None:
    from vodkit.detect.runtimes.openvino_graph import CORE

    if "BF16" not in CORE.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        with pytest.raises(SettingsError, match="no bf16"):
            table.RUNTIMES["openvino-bf16"](wanted)
        return
    pictures = [np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)]
    rough, exact = (
        table.RUNTIMES[name](wanted).run(pictures)[0][0] for name in ("openvino-bf16", "openvino")
    )
    np.testing.assert_allclose(rough, exact, atol=0.02)
    assert (rough != exact).any()  # it is really another precision


def test_batches_of_what_is_compiled_have_few_sizes() -> None:
    sizes = []

    class Counts(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            sizes.append(len(x))
            return x[:, 0, 0].float()

    runtime = TorchRuntime(Counts(), device=torch.device("cpu"), batched=True)
    runtime._compiled = True
    assert len(runtime.run([np.zeros((4, 4, 3), np.uint8)] * 15)) == 15
    assert sizes == [8, 4, 2, 1]


def test_a_stream_gives_what_single_pictures_give(of_any_size: table.Runnable) -> None:
    """In order, of changing sizes, from memory that the caller writes to again at once."""
    runtime = table.RUNTIMES["openvino"](of_any_size)
    assert isinstance(runtime, StreamRuntime)
    rng = np.random.default_rng(0)
    sizes = [(64, 64)] * 19 + [(32, 64)] * 3 + [(64, 64)] * 2
    pictures = [rng.integers(0, 255, (*size, 3), dtype=np.uint8) for size in sizes]
    expected = [runtime.run([picture])[0] for picture in pictures]
    canvas = {size: np.empty((*size, 3), np.uint8) for size in sizes}

    def drawn() -> Iterator[np.ndarray]:
        for picture in pictures:
            one = canvas[picture.shape[:2]]
            one[:] = picture
            yield one

    count = 0
    for outputs, wanted_ones in zip(runtime.stream(drawn()), expected, strict=True):
        for one, other in zip(outputs, wanted_ones, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
        count += 1
    assert count == len(pictures)
    left_early = runtime.stream(iter(pictures))
    next(left_early)
    left_early.close()
    assert len(runtime.run(pictures[:5])) == 5


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["openvino", "onnx"])
def test_pictures_of_many_sizes_have_one_graph(
    of_any_size: table.Runnable, tmp_path: Path, runtime: str
) -> None:
    """In the cache; in memory OpenVINO has those of the last few sizes, compiled."""
    exact = table.RUNTIMES["torch"](of_any_size)
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (32, 32 * n, 3), dtype=np.uint8) for n in range(1, 7)]
    for _ in range(2):  # made, and read from what was kept
        many: Any = table.RUNTIMES[runtime](of_any_size)
        for picture in [*pictures, pictures[0]]:
            for some in ([picture], [picture] * 3):
                one, other = (x.run(some)[-1][0] for x in (many, exact))
                np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
        graphs = (tmp_path / "cache" / runtime).glob("*.sha256")
        assert len(list(graphs)) == 1
    if runtime == "openvino":
        assert [len(x) for x in (many._models, many._single, many._several)] == [4, 4, 4]


@pytest.mark.slow
@pytest.mark.parametrize("lag", [1, 2, 30])
def test_a_stream_gives_out_what_it_has_before_it_is_told_the_next_picture(
    wanted: table.Runnable, lag: int
) -> None:
    """None asks for it: no more than ``lag`` pictures are in work, however many it could take."""
    runtime = table.RUNTIMES["openvino"](wanted)
    assert isinstance(runtime, StreamRuntime)
    pictures = np.random.default_rng(0).integers(0, 255, (19, 64, 64, 3), dtype=np.uint8)
    expected = [runtime.run([picture])[0] for picture in pictures]
    begun = found = 0

    def drawn() -> Iterator[np.ndarray | None]:
        nonlocal begun
        for picture in pictures:
            asked = 0
            while begun - found >= lag:
                asked += 1
                assert asked < 100, "nothing is given out, for ever"
                yield None
            begun += 1
            yield picture

    for outputs in runtime.stream(drawn()):
        assert begun - found <= lag
        np.testing.assert_allclose(outputs[0], expected[found][0], rtol=1e-5, atol=1e-5)
        found += 1
    assert found == len(pictures)


def test_a_run_that_began_on_a_missing_gpu_says_so_when_it_is_resumed() -> None:
    with pytest.raises(SettingsError, match=r"began with cuda on cuda:9: device is 'cuda:9'.*--ov"):
        make_detector(InferSettings(), runs_on=RunsOn("cuda", "cuda:9"))
