"""Shell completion: commands and options, without torch."""

import os
import subprocess
import sys

import pytest

CODE = """
import atexit, sys
from vodkit.cli.main import main
heavy = {"torch", "cv2", "openvino", "matplotlib"}
atexit.register(lambda: print("LOADED", sorted(heavy & set(sys.modules)), file=sys.stderr))
main()
"""


def vodkit(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CODE, *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "place", "expected"),
    [
        ("vodkit tra", "1", {"track", "train"}),
        ("vodkit track --si", "2", {"--size"}),
        ("vodkit data sp", "2", {"split"}),
    ],
)
def test_words_are_completed_without_loading_networks(
    line: str, place: str, expected: set[str]
) -> None:
    done = vodkit(COMP_WORDS=line, COMP_CWORD=place, _VODKIT_COMPLETE="complete_bash")
    assert set(done.stdout.split()) == expected
    assert "LOADED []" in done.stderr


@pytest.mark.slow
def test_the_script_for_the_shell_is_shown() -> None:
    # Without typer's look at the parent process, which may be any shell.
    named = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = vodkit("--show-completion", "bash", **named)
    assert done.returncode == 0
    assert "complete -o default -F _vodkit_completion vodkit" in done.stdout
