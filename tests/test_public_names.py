"""Every public name can be had, and the version stands in one place."""

import tomllib
from pathlib import Path

import vodkit

ROOT = Path(__file__).parent.parent


def test_every_public_name_is_there() -> None:
    for name in vodkit.__all__:
        assert getattr(vodkit, name).__name__ == name
    assert set(vodkit.__all__) < set(dir(vodkit))


def test_changelog_and_package_agree_on_the_version() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    headings = [x for x in (ROOT / "CHANGELOG.md").read_text().splitlines() if x[:4] == "## ["]
    assert headings[0] == "## [Unreleased]"
    assert headings[1].startswith(f"## [{declared}]")
    assert vodkit.__version__ == declared
    citation = (ROOT / "CITATION.cff").read_text().splitlines()
    date = headings[1].rpartition(" - ")[2]
    assert f"version: {declared}" in citation
    assert f'date-released: "{date}"' in citation
