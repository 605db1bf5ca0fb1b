"""Training on two machines: two agents of torchrun on this one, each with a home of its own."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from vodkit.detect.checkpoint import load_checkpoint
from vodkit.formats.table import write_dataset
from vodkit.ground.records import Dataset, LabelledVideo
from vodkit.train.processes import restart_notes
from vodkit.video.synth import Scene, SceneSettings, write_scene

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
DOOR = "from vodkit.cli.main import main; main()"
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
FRESH_STORE = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
"""as in the guide: without it, restarted processes may wait for an address of the last attempt"""
WORDS = {
    "width_px": 64, "height_px": 64, "batch_size": 4, "freeze": "none", "plain_epochs": 0,
    "weights": "random", "fixed_norms": "true", "device": "cpu", "save_every_s": 0, "val_every": 9,
}  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny labelled clip, and the door as a script."""
    folder = tmp_path_factory.mktemp("world")
    videos = []
    for seed, split in enumerate(("train", "val")):
        scene = Scene(SceneSettings(num_frames=8, width_px=96, height_px=96, seed=seed))
        source = f"{split}.mp4"
        write_scene(scene, folder / source)
        videos += [LabelledVideo(source=source, info=scene.info, tracks=scene.truth, split=split)]
    write_dataset(Dataset(classes=scene.classes, videos=tuple(videos)), folder / "clip.json")
    (folder / "door.py").write_text(DOOR)
    return folder


def command(world: Path, out: str, *more: str, epochs: int = 2) -> list[str]:
    data = ["train", "--data", str(world / "clip.json"), "--out", out, "-m", "yolox_nano"]
    words = [word for name, value in WORDS.items() for word in ("--set", f"{name}={value}")]
    return [str(world / "door.py"), *data, "--epochs", str(epochs), *words, *more]


def nodes(
    world: Path, place: Path, words: list[str], *more: str
) -> Iterator[subprocess.Popen[str]]:
    """The two agents; each has a home, a folder and a temporary folder of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for rank in range(2):
        own = place / f"node{rank}"
        for name in ("home", "tmp"):
            (own / name).mkdir(parents=True, exist_ok=True)
        about = ["--nnodes", "2", "--nproc-per-node", "1", "--node-rank", str(rank)]
        meet = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}"]
        one = {"HOME": str(own / "home"), "TMPDIR": str(own / "tmp"), "OMP_NUM_THREADS": "1"}
        yield subprocess.Popen(
            [*TORCHRUN, *about, *meet, *more, "--local-addr", "127.0.0.1", *words],
            cwd=own,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **one, **FRESH_STORE, "GLOO_SOCKET_IFNAME": "lo"},
        )


def ended(agents: list[subprocess.Popen[str]]) -> list[tuple[int, str]]:
    """Exit codes, and what vodkit said of errors."""
    told = []
    for agent in agents:
        _, text = agent.communicate(timeout=200)
        lines = [line for line in text.splitlines() if line.startswith("vodkit: ")]
        told.append((agent.returncode, "\n".join(one for one in lines if "is busy" not in one)))
    return told


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(out / "last.safetensors")[0]


def equal(one: Path, two: Path) -> bool:
    first, second = weights(one), weights(two)
    return first.keys() == second.keys() and all(
        np.array_equal(first[name].numpy(), second[name].numpy()) for name in first
    )


def children(agent: subprocess.Popen[str]) -> list[int]:
    return [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/stat")
        if path.read_text().rpartition(")")[2].split()[1] == str(agent.pid)
    ]


@pytest.fixture(scope="module")
def one_node(world: Path) -> Path:
    """The training of two processes on one node, undisturbed."""
    out = world / "one"
    words = command(world, str(out))
    subprocess.run(
        [*TORCHRUN, "--standalone", "--nproc-per-node", "2", *words],
        check=True,
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return out


def test_two_nodes_equal_one_node_with_two_processes(world: Path, one_node: Path) -> None:
    out = world / "two"
    assert ended([*nodes(world, world / "a", command(world, str(out)))]) == [(0, ""), (0, "")]
    assert equal(one_node, out)
    assert not [*out.glob(".shared-*")]


def test_a_folder_that_is_not_shared_is_noticed_before_the_first_step(world: Path) -> None:
    told = ended([*nodes(world, world / "b", command(world, "run"))])  # each in its own folder
    for code, words in told:
        assert code == 1, "torchrun's own"
        assert words.startswith("vodkit: out is run, which the machines do not share (not seen by")
        assert words.count("\n") == 0
    for rank in range(2):
        assert not [*(world / "b" / f"node{rank}").rglob("log.csv")]


def test_a_killed_node_is_reported_and_the_training_resumes(world: Path, one_node: Path) -> None:
    out = world / "killed"
    words = command(world, str(out), epochs=2)
    agents = [*nodes(world, world / "c", words)]
    while not (out / "state.pt").exists():
        assert agents[1].poll() is None
        os.sched_yield()
    for pid in [agents[1].pid, *children(agents[1])]:
        os.kill(pid, signal.SIGKILL)
    (code, said), _ = ended(agents)
    assert code == 1
    assert said.startswith("vodkit: another process of the training has ended")
    assert said.count("\n") == 0
    assert ended([*nodes(world, world / "c", [*words, "--resume"])]) == [(0, ""), (0, "")]
    assert equal(one_node, out)


def test_torchrun_starts_a_lost_process_again_and_the_training_resumes(
    world: Path, one_node: Path
) -> None:
    out = world / "again"
    agents = [*nodes(world, world / "d", command(world, str(out)), "--max-restarts", "3")]
    while not (out / "state.pt").exists():
        assert agents[1].poll() is None
        os.sched_yield()
    (worker,) = children(agents[1])
    os.kill(worker, signal.SIGKILL)
    told = ended(agents)
    assert [code for code, _ in told] == [0, 0], told
    assert equal(one_node, out)


def test_restarts_in_one_store_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "0")
    assert restart_notes() == ()
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
    (note,) = restart_notes()
    assert "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1" in note
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "False")  # what the variable brings about
    assert restart_notes() == ()


def test_a_loss_that_is_not_finite_in_one_process_is_reported_on_each_machine(world: Path) -> None:
    spoilt = "import os, types\nfrom vodkit.train import step\nif os.environ['RANK'] == '1':\n"
    spoilt += "    step.math = types.SimpleNamespace(isfinite=lambda _: False)\n"
    (world / "spoilt.py").write_text(spoilt + DOOR)
    words = [str(world / "spoilt.py"), *command(world, str(world / "nan"))[1:]]
    (first, said), (second, culprit) = ended([*nodes(world, world / "e", words)])
    assert (first, second) == (1, 1)
    assert culprit.startswith("vodkit: the loss is ")
    assert said == culprit.replace(
        "vodkit: ", "vodkit: another process of the training has ended: "
    )
