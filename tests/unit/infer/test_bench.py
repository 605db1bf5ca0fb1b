"""``vodkit bench``: every detector that can be had is measured, and the rest is named."""

import json
from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from vodkit.benchmark import speed as measuring
from vodkit.benchmark.settings import BenchSettings
from vodkit.benchmark.speed import run_bench
from vodkit.cli.main import main
from vodkit.ground.errors import SettingsError
from vodkit.samples.samples import CLIP_B


@pytest.mark.slow
def test_speeds_are_of_what_was_asked_for() -> None:
    told: list[str] = []
    wanted = BenchSettings(
        models=("vodkit-street",), runtimes=("openvino", "onnx"), seconds=0.05, turns=1,
        temporal="links",
    )  # fmt: skip
    found = run_bench(wanted, tell=told.append)
    assert [line.runtime for line in found.lines] == ["openvino on cpu", "onnx on cpu"]
    assert len(told) == 2
    for line in found.lines:
        assert (line.input_px, line.random_weights) == ((416, 416), False)
        speeds = (line.decode, line.network, line.detect, line.track)
        assert min(speed for speed in speeds if speed is not None) > 0
        assert None not in speeds
        assert line.share == pytest.approx(line.track / line.network)  # of the only turn
    json.dumps(asdict(found), allow_nan=False)


@pytest.mark.parametrize("seconds", [2.0, 50.0])
def test_a_slow_network_is_not_fast_for_what_it_did_before_the_clock(
    seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight frames at once, one second each: one frame a second, however short the time given."""
    now = [0.0]

    def steps() -> Generator[int]:
        for frame in range(64):
            now[0] += 8.0 if frame % 8 == 0 else 0.0
            yield frame

    monkeypatch.setattr(measuring, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    speed, count = measuring._speed(steps, seconds, at_once=8)
    assert (speed, count % 8) == (1.0, 0)


@pytest.mark.slow
def test_a_model_without_its_weights_is_measured_and_marked_or_left_out() -> None:
    wanted = BenchSettings(
        models=("yolox_nano",), runtimes=("openvino", "onnx"), seconds=0.01, turns=1
    )
    found = run_bench(wanted)
    assert [line.random_weights for line in found.lines] == [True]
    assert "yolox_nano, onnx: " in found.left_out[0]


QUICK = ["--model", "vodkit-street", "--runtime", "openvino", "--seconds", "0.02", "--turns", "1"]


def bench(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["bench", *QUICK, *words])
    return int(str(ended.value.code))


@pytest.mark.slow
def test_a_source_that_cannot_be_read_costs_only_its_own_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A single frame tells no speed, and says so: it is not 0 %."""
    one = tmp_path / "one.png"
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(one)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    out = tmp_path / "new" / "b.json"
    assert bench(str(broken), str(one), "--out", str(out)) == 3
    seen = capsys.readouterr()
    assert "broken.mp4: cannot be opened" in seen.err
    assert "\N{EN DASH}" in seen.out
    assert "0%" not in seen.out
    assert "track/network" in seen.out
    content = json.loads(out.read_text())
    assert [line["source"] for line in content["lines"]] == [str(one)]
    assert [content["lines"][0][name] for name in ("decode", "track", "share")] == [None] * 3
    assert content["lines"][0]["network"] > 0
    assert len(content["failed"]) == 1


def test_what_cannot_be_had_is_told_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    for words, told in (
        (["--out", str(tmp_path)], "is a folder"),
        (["--out", str(tmp_path / "file" / "b.json")], "cannot make the folder"),
        ([str(CLIP_B), str(tmp_path / "gone.mp4")], "gone.mp4: no such file"),
        (["--tracker", "sortt"], "unknown tracker 'sortt'"),
        (["--runtime", "openvin"], "unknown runtime 'openvin'"),
        (["--temporal", "lnks"], "temporal is 'lnks'; allowed: off, links, links-both, or a file"),
        (["--temporal", "gone.safetensors"], "gone.safetensors is missing"),
        (["--model", "vodkit-stret"], "unknown model 'vodkit-stret'"),
    ):
        assert bench(*words) == 2, words
        error = capsys.readouterr().err
        assert told in error
        assert "turn 1" not in error


def test_nothing_to_measure_is_an_error_with_the_reason() -> None:
    with pytest.raises(SettingsError, match="unknown model 'nothing'"):
        run_bench(BenchSettings(models=("nothing",)))
    with pytest.raises(SettingsError, match="turns is 0"):
        BenchSettings(turns=0)
