"""One review server for all tests of the page, over clips whose pixels state their frame index."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from review_clips import KINDS, Served, write_clip
from vodkit.review.jobs import ModelSettings
from vodkit.review.project import ProjectSettings
from vodkit.review.server import serving
from vodkit.serve.web import ServerSettings


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    return [write_clip(folder / f"{kind}.{ending}", kind) for kind, ending in KINDS.items()]


@pytest.fixture(scope="session")
def served(clips: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("review")
    project = ProjectSettings(videos=tuple(clips), classes=("fly", "bee"), out=folder / "out.json")
    with serving(project, ModelSettings(), ServerSettings()) as (address, page):
        thread = threading.Thread(target=page.run)
        thread.start()
        try:
            yield Served(address, page, folder)
        finally:
            page.stop()
            thread.join()
