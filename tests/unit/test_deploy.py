"""What is in ``deploy/``: no root, health checks, and commands that vodkit takes."""

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import typer.main
import yaml

from vodkit.cli.main import app

DEPLOY = Path(__file__).parents[2] / "deploy"
UNIT = DEPLOY / "vodkit@.service"


def take(words: list[str]) -> dict[str, object]:
    """Parse a command line of vodkit; the options that it gives."""
    name, *rest = words
    command = typer.main.get_command(app).commands[name]
    with command.make_context(name, rest) as context:
        return dict(context.params)


def steps() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n\s*", " ", (DEPLOY / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split()[0], line.partition(" ")[2]) for line in lines]


def test_the_image_is_slim_and_does_not_run_as_root() -> None:
    found = steps()
    assert found[0] == ("FROM", "python:3.12-slim")
    names = [name for name, _ in found]
    users = [words for name, words in found if name == "USER"]
    assert users == ["vodkit"]
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert not [words for name, words in found[names.index("USER") :] if name == "RUN"]
    (health,) = [words for name, words in found if name == "HEALTHCHECK"]
    compile(yaml.safe_load(health.partition("CMD ")[2])[2], "health", "exec")
    (command,) = [words for name, words in found if name == "CMD"]
    given = take(yaml.safe_load(command))
    assert (given["host"], given["port"]) == ("0.0.0.0", 8787)
    copied = [word for name, words in found if name == "COPY" for word in words.split()[:-1]]
    assert all((DEPLOY.parent / word).exists() for word in copied)


def test_compose_has_a_broker_and_a_command_that_vodkit_takes() -> None:
    content = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    track = content["services"]["track"]
    given = take([re.sub(r"\$\{CAMERA.*\}", "rtsp://door/live", word) for word in track["command"]])
    assert given["mqtt"] == "mqtt://broker/vodkit"
    assert given["resume"]
    assert track["environment"]["VODKIT_HEALTH"].endswith(":8790/healthz")
    assert (track["read_only"], track["cap_drop"]) == (True, ["ALL"])
    for service in content["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert (DEPLOY / track["build"]["dockerfile"].removeprefix("deploy/")).exists()
    named = {line.split(":")[0] for one in content["services"].values() for line in one["volumes"]}
    assert {one for one in named if not one.startswith("./")} <= set(content["volumes"])
    lines = (DEPLOY / "mosquitto.conf").read_text().splitlines()
    assert "persistence true" in lines


def test_the_unit_restarts_and_its_command_is_one_that_vodkit_takes() -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=True)
    unit.optionxform = str  # type: ignore[method-assign,assignment]
    unit.read_string(UNIT.read_text())
    service = unit["Service"]
    assert service["User"] == "vodkit"
    assert service["Restart"] == "always"
    assert service["SuccessExitStatus"] == "130", "of Ctrl-C"
    words = shlex.split(service["ExecStart"].replace("${PORT}", "8790").replace("$OPTIONS", ""))
    assert words[0].endswith("/bin/vodkit")
    assert take(words[1:])["serve"] == "127.0.0.1:8790"


def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    text = UNIT.read_text().replace("/opt/vodkit/bin/vodkit", "/bin/true")
    copy = tmp_path / "vodkit@door.service"
    copy.write_text(text.replace("User=vodkit", "User=daemon"))
    found = subprocess.run(
        ["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False
    )
    own = [line for line in found.stderr.splitlines() if "vodkit@door" in line]
    assert not own
