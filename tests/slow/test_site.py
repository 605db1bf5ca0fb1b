"""The built site in a browser, opened from the disk: nothing is fetched, nothing is too wide."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).parents[2]
SITE = CHECKOUT / "out" / "site"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site() -> Path:
    """What ``make docs`` built, or a build of it."""
    if not (SITE / "index.html").is_file():
        subprocess.run(
            [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict"],
            cwd=CHECKOUT,
            check=True,
        )
    return SITE


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, without a screen."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    words = ["--no-sandbox", "--disable-gpu"]
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=CHROMIUM, args=words)
        yield opened
        opened.close()


def page_of(browser: Any, *, scripts: bool) -> tuple[Any, list[str]]:
    """A page, and a list that every request that leaves the disk is noted in."""
    size = {"width": 1280, "height": 900}
    opened = browser.new_context(java_script_enabled=scripts, viewport=size).new_page()
    opened.set_default_timeout(60_000)
    wanted: list[str] = []

    def noted(request: Any) -> None:
        if not request.url.startswith(("file:", "data:", "blob:")):
            wanted.append(request.url)

    opened.on("request", noted)  # routes would slow every file down
    return opened, wanted


@pytest.mark.timeout(600)
def test_every_page_fits_desktop_and_phone_and_fetches_nothing(site: Path, browser: Any) -> None:
    page, wanted = page_of(browser, scripts=False)  # scripts would take a second a page
    wide = []
    for path in sorted(site.rglob("*.html")):
        page.goto(path.as_uri(), wait_until="load")
        for width in (1280, 400):
            page.set_viewport_size({"width": width, "height": 900})
            root = "document.documentElement"
            over = page.evaluate(f"{root}.scrollWidth - {root}.clientWidth")
            if over > 0:
                wide.append(f"{path.relative_to(site)} at {width} px: {over} px too wide")
    assert not wide, "\n".join(wide)
    assert not wanted


def test_search_works_from_the_disk(site: Path, browser: Any) -> None:
    page, wanted = page_of(browser, scripts=True)
    page.goto((site / "guides" / "track.html").as_uri())
    page.fill("input.md-search__input", "occlusion")
    found = page.wait_for_selector("a.md-search-result__link", state="attached")
    assert found.get_attribute("href").startswith("file:")
    assert not wanted


def test_no_file_of_the_site_names_a_script_or_style_elsewhere(site: Path) -> None:
    loads = re.compile(
        r"""<(?:script|img|source|iframe|video)[^>]*\ssrc=["']?(?:https?:)?//"""
        r"""|<link[^>]*rel=["']?(?:stylesheet|preconnect|preload)[^>]*href=["']?(?:https?:)?//"""
        r"""|url\(["']?(?:https?:)?//|@import\s+["'](?:https?:)?//"""
    )
    files = [path for path in site.rglob("*") if path.suffix in {".html", ".css"}]
    assert len(files) > 50
    found = [path.name for path in files if loads.search(path.read_text(encoding="utf-8"))]
    assert not found
