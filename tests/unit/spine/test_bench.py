"""``vodkit bench``: every detector that can be had is measured, and the rest is named."""

import json

import pytest

from vodkit.bench import BenchSettings, run_bench
from vodkit.cli.main import main
from vodkit.errors import SettingsError


@pytest.mark.slow
def test_speeds_are_of_what_was_asked_for() -> None:
    told: list[str] = []
    wanted = BenchSettings(
        models=("vodkit-street",), runtimes=("openvino", "onnx"), seconds=0.05, turns=1
    )
    found = run_bench(wanted, tell=told.append)
    assert [line.runtime for line in found.lines] == ["openvino on cpu", "onnx on cpu"]
    assert len(told) == 2
    for line in found.lines:
        assert (line.input_px, line.random_weights) == ((416, 416), False)
        assert min(line.decode, line.network, line.detect, line.track) > 0
    json.dumps(found.as_json(), allow_nan=False)


@pytest.mark.slow
def test_a_model_without_its_weights_is_measured_and_marked_or_left_out() -> None:
    wanted = BenchSettings(
        models=("yolox_nano",), runtimes=("openvino", "onnx"), seconds=0.01, turns=1
    )
    found = run_bench(wanted)
    assert [line.random_weights for line in found.lines] == [True]
    assert "yolox_nano, onnx: " in found.left_out[0]


def test_nothing_to_measure_is_an_error_with_the_reason() -> None:
    with pytest.raises(SettingsError, match="unknown model 'nothing'"):
        run_bench(BenchSettings(models=("nothing",)))
    with pytest.raises(SettingsError, match="turns is 0"):
        BenchSettings(turns=0)


def test_the_command_writes_json(tmp_path, capsys) -> None:
    out = tmp_path / "bench.json"
    words = ["--runtime", "openvino", "--seconds", "0.05", "--turns", "1", "--out", str(out)]
    with pytest.raises(SystemExit) as ended:
        main(["bench", *words])
    assert ended.value.code == 0
    content = json.loads(out.read_text())
    assert content["lines"][0]["model"] == "vodkit-street"
    assert "track/network" in capsys.readouterr().out
