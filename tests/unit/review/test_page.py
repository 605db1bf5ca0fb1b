"""The page in a real browser: the frame on the screen is its number, and hands get what they want.

One browser and one server for all tests. Where Chromium or playwright is missing, they skip.
"""

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from review_clips import FRAMES, Served
from vodkit.review import project, server
from vodkit.review.app import PAGE
from vodkit.review.curve import Base, Track, evaluate, to_json
from vodkit.review.jobs import ModelSettings
from vodkit.review.project import ProjectSettings
from vodkit.review.server import serving
from vodkit.serve.web import ServerSettings

pytestmark = pytest.mark.slow
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
STEPS = 25


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def context(browser: Any, served: Served) -> Iterator[Any]:
    opened = browser.new_context(viewport={"width": 1100, "height": 760})
    opened.set_default_timeout(20_000)
    page = opened.new_page()
    page.goto(served.address)
    page.wait_for_selector("body[data-ready]")
    page.close()
    yield opened
    opened.close()


@pytest.fixture
def page(context: Any, served: Served) -> Iterator[Any]:
    """A page on the first clip, without labels, that may not report any error."""
    opened = context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    outside: list[str] = []
    opened.on("request", lambda r: outside.append(r.url) if served.host not in r.url
              and not r.url.startswith(("data:", "blob:")) else None)  # fmt: skip
    clear(served)
    show(opened, served)
    yield opened
    opened.close()
    assert not errors
    assert not outside


def show(page: Any, served: Served, words: str = "video=0") -> None:
    page.goto("about:blank")
    page.goto(served.address.partition("#")[0] + f"#{words}")
    page.wait_for_selector("body[data-ready]")


def clear(served: Served) -> None:
    journal = served.page.project.journal
    for video in range(len(served.page.project.paths)):
        tracks = list(journal.document.tracks(video))
        if tracks:
            action = {"do": "delete", "video": video, "tracks": tracks}
            journal.commit(action, id=f"clear-{journal.n}", who="test")
        if journal.document.accepted(video):
            action = {"do": "accept", "video": video, "first": 0, "last": FRAMES - 1,
                      "accepted": False}  # fmt: skip
            journal.commit(action, id=f"clear-{journal.n}", who="test")


def labels(served: Served, video: int = 0) -> dict[int, Track]:
    return served.page.project.journal.document.tracks(video)


PLACES = """(points) => { const s = document.getElementById("stage");
  const r = s.getBoundingClientRect();
  return points.map(([x, y]) => [r.left + s.view.x + x * s.view.scale,
                                 r.top + s.view.y + y * s.view.scale]); }"""


def drag(page: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    """A drag in source pixels, until the server has answered."""
    places = page.evaluate(PLACES, [start, end])
    before = last_entry(page)
    page.mouse.move(*places[0])
    page.mouse.down()
    page.mouse.move(*places[1], steps=3)
    page.mouse.up()
    settled(page, before)


def last_entry(page: Any) -> int:
    number: int = page.evaluate("document.getElementById('stage').state.n")
    return number


def press(page: Any, key: str, *, acts: bool = False) -> None:
    before = last_entry(page)
    page.keyboard.press(key)
    if acts:
        settled(page, before)
    else:
        page.wait_for_function(
            "() => { const s = document.getElementById('stage').state;"
            " return s.shownFrame === s.frame; }"
        )


def settled(page: Any, before: int) -> None:
    page.wait_for_function(
        "(n) => document.getElementById('stage').state.n > n"
        " && document.getElementById('saved').textContent === 'Saved'",
        arg=before,
    )


READ_STEPS = """async ([steps, seed, frames]) => {
  const stage = document.getElementById("stage");
  const slider = document.getElementById("slider");
  const { state } = stage;
  let random = seed;
  const next = () => (random = (random * 1103515245 + 12345) % 2147483648) / 2147483648;
  const key = (k) => stage.dispatchEvent(new KeyboardEvent("keydown", { key: k, bubbles: true }));
  const seen = [];
  for (let i = 0; i < steps; i += 1) {
    const choice = next();
    const presses = choice < 0.6 ? 1 + next() * 3 : 0;
    for (let k = 0; k < presses; k += 1) key("dfDF"[Math.floor(next() * 4)]);
    if (!presses) {
      slider.value = Math.floor(next() * frames);
      slider.dispatchEvent(new Event("change"));
    }
    for (let wait = 0; wait < 1000; wait += 1) {
      await new Promise((done) => requestAnimationFrame(done));
      if (state.shownFrame === state.frame && !stage.due) break;
    }
    const ratio = devicePixelRatio;
    let index = 0;
    for (let bit = 0; bit < 8; bit += 1) {
      const x = (stage.view.x + (8 + 16 * bit) * stage.view.scale) * ratio;
      const y = (stage.view.y + 48 * stage.view.scale) * ratio;
      const pixel = stage.context.getImageData(Math.round(x), Math.round(y), 1, 1).data;
      index = index * 2 + (pixel[0] > 127 ? 1 : 0);
    }
    const named = Number(/Frame (\\d+)/.exec(document.getElementById("place").textContent)[1]);
    seen.push([index, named, state.frame]);
  }
  return seen;
}"""


def test_the_picture_on_the_screen_is_the_frame_that_is_named(page: Any, served: Served) -> None:
    for video in range(len(served.page.project.paths)):
        show(page, served, f"video={video}")
        seen = page.evaluate(READ_STEPS, [STEPS, 7 + video, FRAMES])
        assert len({frame for _, _, frame in seen}) > STEPS // 3
        assert all(pixels == named == asked for pixels, named, asked in seen), (video, seen)


def test_both_curves_agree(page: Any) -> None:
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.uniform(0.01, 0.08, 80))
    cases = []
    for _ in range(30):
        frames = np.sort(rng.choice(80, 6, replace=False))
        low = rng.uniform(0, 200, (6, 2))
        boxes = np.concatenate([low, low + rng.uniform(5, 60, (6, 2))], axis=1)
        known = rng.integers(0, 3, 6)
        base = Base(frames, boxes, rng.uniform(0, 1, 6), known, np.full(6, np.nan))
        base = base if rng.random() < 0.7 else Base.empty()
        keys = tuple(
            (int(f), tuple(float(v) for v in (*xy, *(xy + rng.uniform(5, 60, 2)))))
            for f, xy in zip(
                np.sort(rng.choice(80, 4, replace=False)), rng.uniform(0, 99, (4, 2)), strict=True
            )
        )
        cases.append(Track(0, base, keys))
    expected = []
    for track in cases:
        found = evaluate(track, np.arange(80), times, reach_s=0.9)
        rows = zip(found.frames.tolist(), found.boxes_xyxy.tolist(), found.known.tolist(),
                   found.scores.tolist(), strict=True)  # fmt: skip
        expected.append({frame: (box, known, score) for frame, box, known, score in rows})
    got = page.evaluate(
        """async ([tracks, times]) => { const { evaluate } = await import("/static/curve.js");
        return tracks.map((t) => times.map((_, f) => evaluate(t, f, times, 0.9))); }""",
        [[to_json(track) for track in cases], times.tolist()],
    )
    for wanted, row in zip(expected, got, strict=True):
        assert [f for f, one in enumerate(row) if one is not None] == sorted(wanted)
        for frame, (box, known, score) in wanted.items():
            assert row[frame]["box"] == pytest.approx(box, abs=1e-5)
            assert row[frame]["known"] == known
            assert row[frame]["score"] == pytest.approx(score, abs=1e-3)


def test_drawing_dragging_and_every_key_do_what_they_say(page: Any, served: Served) -> None:
    drag(page, (10, 10), (40, 50))
    ((number, track),) = labels(served).items()
    assert track.keys[0][1] == pytest.approx((10, 10, 40, 50), abs=1)
    press(page, "F")
    drag(page, (25, 30), (45, 35))  # where the track has no box: its next key
    assert [frame for frame, _ in labels(served)[number].keys] == [0, 10]
    press(page, "r")
    assert page.inner_text("#place").startswith("Frame 5 of 59")
    drag(page, (20, 30), (24, 33))  # the whole box, by its inside
    assert [frame for frame, _ in labels(served)[number].keys] == [0, 5, 10]
    press(page, "b", acts=True)
    assert [frame for frame, _ in labels(served)[number].keys] == [0, 10]
    press(page, "2", acts=True)
    assert labels(served)[number].label == 1
    press(page, "x", acts=True)
    assert sorted(labels(served)) == [number, max(labels(served))]
    press(page, "z", acts=True)
    press(page, "Z", acts=True)
    press(page, "z", acts=True)
    assert list(labels(served)) == [number]
    press(page, "h")
    press(page, "f")
    press(page, "f")
    press(page, "h", acts=True)
    assert [tuple(span) for span in labels(served)[number].spans] == [(5, 7, "hidden")]
    press(page, "V", acts=True)
    press(page, "G", acts=True)
    assert [tuple(span) for span in labels(served)[number].spans] == [(8, 59, "outside")]
    press(page, "W", acts=True)
    assert served.page.project.journal.document.accepted(0) == ((0, 7),)
    assert "accepted" in page.inner_text("#place")
    press(page, "Delete", acts=True)
    assert not labels(served)


def test_rows_of_the_table_stay_and_are_kept_up_to_date(page: Any, served: Served) -> None:
    drag(page, (20, 20), (60, 50))
    drag(page, (70, 30), (110, 60))
    first, second = sorted(labels(served))
    page.evaluate(f"""window.row = document.querySelector("[data-track='{first}']")""")
    press(page, "f")
    page.wait_for_function(f"""() => document.querySelector("[data-track='{second}']")
        ?.closest("tr").cells[5].textContent === "\\u2013" """)
    press(page, "d")
    words = """() => [...document.querySelectorAll("vk-tracks tbody tr")].map((row) =>
        [...row.cells].map((cell) => cell.querySelector("select")?.value ?? cell.textContent))"""
    page.wait_for_function(f"() => ({words})().every((row) => row[5] === 'person')")
    assert page.evaluate(words) == [
        [str(one), "0", "0\u20130", "\u2013", "1", "person"] for one in (first, second)
    ]
    assert page.evaluate("window.row.isConnected")
    page.keyboard.press("2")
    page.wait_for_function(f"() => ({words})()[1][1] === '1'")
    press(page, "Delete", acts=True)
    page.wait_for_function(f"() => ({words})().length === 1")
    assert page.evaluate("window.row.isConnected")


def test_extreme_clicks_join_and_swap(page: Any, served: Served) -> None:
    drag(page, (5, 5), (35, 35))
    page.keyboard.press("Escape")
    press(page, "t")
    before = last_entry(page)
    for place in page.evaluate(PLACES, [(80, 10), (60, 30), (100, 40), (85, 70)]):
        page.mouse.click(*place)
    settled(page, before)
    one, two = sorted(labels(served))
    assert labels(served)[two].keys[0][1] == pytest.approx((60, 10, 100, 70), abs=1)
    press(page, "s")
    before = last_entry(page)
    page.click(f"[data-track='{one}']")
    settled(page, before)
    assert labels(served)[two].keys[0][1] == pytest.approx((5, 5, 35, 35), abs=1)
    press(page, "c")
    before = last_entry(page)
    page.click(f"[data-track='{one}']")
    settled(page, before)
    assert list(labels(served)) == [two]


def test_pieces_of_one_object_are_joined_in_one_action(page: Any, served: Served) -> None:
    tracks = {}
    for number, (first, last) in enumerate(((0, 9), (14, 25), (30, 44), (50, 59)), 911):
        boxes = np.array([[30 + first, 20, 50 + first, 60], [30 + last, 20, 50 + last, 60]], float)
        base = Base(np.array([first, last]), boxes, np.ones(2), np.zeros(2, np.int64),
                    np.full(2, np.nan))  # fmt: skip
        tracks[str(number)] = to_json(Track(0, base))
    put = {"do": "put", "video": 0, "tracks": tracks}
    served.page.project.journal.commit(put, id=f"put-{last_entry(page)}", who="model")
    show(page, served)
    press(page, "k")
    page.wait_for_selector("#joins li")
    assert page.locator("#joins li").count() == 3
    page.click("#joins button:has-text('913 begins')")
    page.wait_for_function("() => document.getElementById('stage').state.shownFrame === 30")
    page.uncheck("#joins [aria-label='Track 913 continues as 914']")
    before = last_entry(page)
    page.click("#joins button:has-text('Join the ticked')")
    settled(page, before)
    assert sorted(labels(served)) == [911, 914]
    assert labels(served)[911].extent == (0, 44)
    assert page.is_hidden("#joins")
    press(page, "z", acts=True)
    assert len(labels(served)) == 4


def test_corrections_of_a_models_tracks_take_one_gesture(page: Any, served: Served) -> None:
    frames, tracks = np.array([0, 59]), {}
    for number, (left, score) in enumerate(((20.0, 0.9), (70.0, 0.3), (0.0, 0.2)), 901):
        boxes = np.array([[left, 20, left + 30, 60]] * 2)
        base = Base(frames, boxes, np.full(2, score), np.zeros(2, np.int64), np.full(2, np.nan))
        tracks[str(number)] = to_json(Track(0, base))
    put = {"do": "put", "video": 0, "tracks": tracks}
    served.page.project.journal.commit(put, id=f"put-{last_entry(page)}", who="model")
    show(page, served)
    page.keyboard.down("Shift")
    drag(page, (35, 20), (35, 10))  # the inside moves: by Shift for all of the track
    page.keyboard.up("Shift")
    one = labels(served)[901]
    assert one.base.boxes_xyxy[:, 1] == pytest.approx([10, 10], abs=1)
    page.click("[data-track='902']")
    press(page, "X", acts=True)
    assert sorted(labels(served)) == [901]
    press(page, "z", acts=True)
    page.click("[data-track='901']")
    press(page, "F")
    press(page, "C")
    before = last_entry(page)
    page.click("[data-track='903']")
    settled(page, before)
    assert labels(served)[901].extent == (0, 9)
    boxes = np.array([[10, 20, 30, 60], [90, 20, 110, 60]])
    base = Base(frames, boxes, np.ones(2), np.zeros(2, np.int64), np.full(2, np.nan))
    put = {**put, "tracks": {"904": to_json(Track(0, base))}}
    served.page.project.journal.commit(put, id=f"put-{last_entry(page)}", who="model")
    show(page, served)
    press(page, "T")
    page.click("text=Draw the area instead")
    drag(page, (20, 10), (100, 90))  # over boxes, which are not dragged
    first, last = (span for span in labels(served)[904].spans)
    assert (first.first, first.kind, last.last, last.kind) == (0, "outside", 59, "outside")
    left = np.interp(np.arange(60), frames, boxes[:, 0])
    inside = np.flatnonzero((left >= 20) & (left + 20 <= 100))
    assert (first.last + 1, last.first - 1) == (inside[0], inside[-1])
    row = page.locator("vk-tracks tr", has=page.locator("[data-track='904']"))
    row.get_by_text(re.compile(f"^{inside[0]}.{inside[-1]}$")).wait_for()


def test_at_opens_the_frame_that_other_pages_name(page: Any, served: Served) -> None:
    place = served.page.project.place_of("vfr.mp4:33")
    show(page, served, place.removeprefix("&"))
    assert page.inner_text("#place").startswith("Frame 33 of 59")
    assert page.eval_on_selector("#video", "v => v.selectedOptions[0].text").endswith("vfr.mp4")


def test_before_the_labels_are_read_pictures_are_shown_and_nothing_is_drawn(
    context: Any, clips: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, reads = threading.Event(), project._imported
    seen: list[str] = []
    running: list[Any] = []

    def slowly(settings: ProjectSettings) -> Any:
        assert shown.wait(60)
        return reads(settings)

    def start() -> None:
        with serving(settings, ModelSettings(), ServerSettings(), early=seen.append) as (_, opened):
            running.append(opened)
            opened.run()

    monkeypatch.setattr(project, "_imported", slowly)
    settings = ProjectSettings(videos=(clips[0],), classes=("fly",), out=tmp_path / "out.json")
    monkeypatch.setattr(server, "ctrl_c_stops", lambda _server: nullcontext())
    thread = threading.Thread(target=start)
    thread.start()
    while not seen:
        threading.Event().wait(0.01)
    page = context.new_page()
    page.goto(f"{seen[0]}&frame=12")
    page.wait_for_function("() => document.getElementById('stage')?.state?.shownFrame === 12")
    start_, end = page.evaluate(PLACES, [(10, 10), (60, 60)])
    page.mouse.move(*start_)
    page.mouse.down()
    page.mouse.move(*end)
    page.mouse.up()
    assert page.inner_text("#hint") == "The labels are still being read."
    page.focus("#stage")
    page.keyboard.press("f")
    page.wait_for_function("() => document.getElementById('stage').state.shownFrame === 13")
    shown.set()
    page.wait_for_selector("body[data-ready]")
    assert page.inner_text("#place").startswith("Frame 13")
    assert last_entry(page) == 0
    page.close()
    running[0].stop()
    thread.join()


def test_the_keyboard_alone_is_enough(page: Any, served: Served) -> None:
    page.keyboard.press("Tab")
    for _ in range(20):
        if page.evaluate("document.activeElement.localName") == "vk-stage":
            break
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.localName") == "vk-stage"
    page.keyboard.press("n")
    press(page, "Enter", acts=True)
    ((number, track),) = labels(served).items()
    box = track.keys[0][1]
    before = last_entry(page)
    page.evaluate(
        """() => { for (const [key, shiftKey] of [...Array(3).fill(["ArrowRight", false]),
          ["ArrowDown", true]]) document.activeElement.dispatchEvent(
          new KeyboardEvent("keydown", { key, shiftKey, bubbles: true })); }"""
    )  # at once: on a busy machine presses from here may be further apart than a series allows
    settled(page, before)
    moved = labels(served)[number].keys[0][1]
    assert np.array(moved) - np.array(box) == pytest.approx([3, 10, 3, 10], abs=0.01)
    assert served.page.project.journal.n == before + 1  # a series is one action
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.localName") == "button"  # no trap


def test_a_second_window_sees_changes_and_a_conflict_is_asked_about(
    page: Any, context: Any, served: Served
) -> None:
    drag(page, (10, 10), (40, 50))
    (number,) = labels(served)
    other = context.new_page()
    show(other, served)
    other.wait_for_selector(f"[data-track='{number}']")
    # The other window is cut off from events, as on a bad line, and edits what it has seen.
    other.route("**/api/events*", lambda route: route.abort())
    show(other, served)
    drag(page, (25, 30), (35, 30))
    other.click(f"[data-track='{number}']")
    other.keyboard.press("v")
    other.wait_for_selector("dialog#conflict[open]")
    assert f"Track {number} was changed" in other.inner_text("#conflict")
    theirs = labels(served)[number]
    other.click("text=Take theirs")
    assert labels(served)[number] == theirs
    shown = other.evaluate(f"document.getElementById('stage').state.tracks.get({number}).keys")
    assert shown[0][1:] == pytest.approx(theirs.keys[0][1])
    drag(page, (35, 30), (45, 30))
    other.keyboard.press("v")
    other.wait_for_selector("dialog#conflict[open]")
    before = served.page.project.journal.n
    other.click("text=Take mine")
    page.wait_for_function("(n) => document.getElementById('stage').state.n === n", arg=before + 1)
    assert labels(served)[number].keys[0][1] == pytest.approx(theirs.keys[0][1])
    other.close()


def test_what_cannot_be_saved_is_said_at_once_and_sent_again(page: Any, served: Served) -> None:
    blocked = True

    def answer(route: Any) -> None:
        if blocked:
            body = json.dumps({"error": "review.vodkit.jsonl: not saved: No space left on device"})
            route.fulfill(status=507, content_type="application/json", body=body)
        else:
            route.continue_()

    page.route("**/api/actions", answer)
    page.evaluate("document.getElementById('stage').commit(null, [5, 5, 40, 40])")
    page.wait_for_selector("#alarm:not([hidden])")
    assert "No space left on device" in page.inner_text("#alarm")
    assert "NOT SAVED" in page.inner_text("#saved")
    assert not labels(served)
    blocked = False
    page.wait_for_function("() => document.getElementById('saved').textContent === 'Saved'")
    assert len(labels(served)) == 1
    assert page.is_hidden("#alarm")


def test_names_are_text_and_never_markup(page: Any, served: Served) -> None:
    evil = "<img src=x onerror=\"document.title='owned'\">"
    page.click("#add-class")
    page.fill("#form input", evil)
    before = last_entry(page)
    page.click("#form button >> text=Add")
    settled(page, before)
    drag(page, (10, 10), (40, 50))
    page.select_option(
        "vk-tracks select", str(len(served.page.project.journal.document.classes) - 1)
    )
    page.wait_for_timeout(0)
    assert page.locator("img").count() == 0
    assert page.title() == "vodkit review"
    assert evil in page.inner_text("#label")


def test_own_keys_are_kept_and_zoom_stays(page: Any, served: Served) -> None:
    page.click("#help")
    page.fill("#keys textarea", '{"accept": "d"}')
    page.click("text=Use these keys")
    assert 'key "d" is used twice' in page.inner_text("#hint")
    page.click("#help")
    page.fill("#keys textarea", '{"accept": "j"}')
    page.click("text=Use these keys")
    show(page, served)
    page.click("vk-stage", button="right")
    press(page, "j", acts=True)
    assert served.page.project.journal.document.accepted(0) == ((0, 0),)
    page.keyboard.press("+")
    scale = page.evaluate("document.getElementById('stage').view.scale")
    press(page, "f")
    press(page, "f")
    assert page.evaluate("document.getElementById('stage').view.scale") == scale
    page.evaluate("document.cookie = 'vodkit-keys={}; Max-Age=0; Path=/'")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1100, 390])
def test_axe_finds_nothing(page: Any, served: Served, scheme: str, width: int) -> None:
    axe = pytest.importorskip("axe_core_python.sync_playwright", reason="axe is not installed")
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 760})
    drag(page, (10, 10), (40, 50))
    page.wait_for_selector("vk-tracks button")
    # The policy of the page allows no foreign script, so axe comes in through the debugger.
    source = (Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    page.evaluate(source)
    found = page.evaluate("axe.run()")
    told = [
        (one["id"], [node["html"][:90] for node in one["nodes"]]) for one in found["violations"]
    ]
    assert told == []
    wide = """[...document.querySelectorAll('*')]
        .filter(one => one.getBoundingClientRect().right > innerWidth + 1)
        .map(one => one.outerHTML.slice(0, 90))"""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.evaluate(wide)


def compiler() -> str | None:
    """TypeScript's compiler; before version 5 it reads types in one-line comments otherwise."""
    tsc = shutil.which("tsc")
    if tsc is None:
        return None
    told = subprocess.run([tsc, "--version"], check=False, capture_output=True, text=True).stdout
    return tsc if re.search(r"Version ([5-9]|\d\d)", told) else None


if TSC := compiler():  # the only test for Node.js: without it there is none, and nothing is skipped

    def test_types_of_the_modules_are_right() -> None:
        folder = files("vodkit.review") / "static"
        options = ["--noEmit", "--allowJs", "--checkJs", "--strict", "--target", "es2022",
                   "--module", "es2022", "--lib", "es2022,dom,dom.iterable"]  # fmt: skip
        command = [str(TSC), *options, str(folder / "app.js")]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_the_page_is_small_and_complete() -> None:
    folder = files("vodkit.review") / "static"
    assert {entry.name for entry in folder.iterdir()} == set(PAGE)
    assert sum(len((folder / name).read_bytes()) for name in PAGE) <= 150_000
