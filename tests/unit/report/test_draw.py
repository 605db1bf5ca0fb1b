"""Drawing: what a viewer can tell from a box, and that nobody's picture is changed."""

import numpy as np
import pytest

from vodkit.ground.errors import InputError, SettingsError
from vodkit.ground.records import NO_ID, Detections, Frame, State, Tracks, TrackTable
from vodkit.report import film
from vodkit.report.contact_sheet import contact_sheet, encoded, evenly, sheet
from vodkit.report.draw import PALETTE, DrawSettings, colour_of, draw_box, draw_found
from vodkit.report.failures import Failure

GREY = np.full((120, 160, 3), 128, np.uint8)
BOX = [[30.0, 40.0, 110.0, 100.0]]


def tracks(state: State, identity: int = 3) -> Tracks:
    return Tracks(BOX, [0.9], [0], [identity], [state])


def side(state: State) -> np.ndarray:
    """The left side of the box, between its corners, as drawn."""
    plain = DrawSettings(show_class=False, show_state=False)
    drawn = draw_found(GREY, tracks(state), ("person",), settings=plain)
    return (drawn[46:94, 30] == np.array(colour_of(3))).all(axis=1)


def test_the_callers_picture_is_not_touched() -> None:
    image = GREY.copy()
    image.flags.writeable = False
    drawn = draw_found(image, tracks(State.OBSERVED), ("person",))
    assert (image == 128).all()
    assert (drawn != 128).any()


def test_strokes_tell_how_a_box_is_known() -> None:
    shares = [side(state).mean() for state in State]
    assert shares[0] == 1.0, "observed is solid"
    assert 0.5 < shares[1] < 0.95, "predicted is dashed"
    assert 0.1 < shares[2] < 0.5, "filled is dotted"


def test_an_id_keeps_its_colour_and_neighbours_differ() -> None:
    assert len({colour_of(k) for k in range(len(PALETTE))}) == len(PALETTE)
    assert colour_of(5) == colour_of(5)


def test_detections_without_ids_are_drawn_by_class() -> None:
    found = Detections(BOX, [0.5], [1])
    drawn = draw_found(GREY, found, ("person", "car"), settings=DrawSettings(show_class=False))
    assert tuple(drawn[60, 30]) == colour_of(1)
    assert NO_ID == -1


@pytest.mark.parametrize(
    "box", [[-50, -50, -10, -10], [0, 0, 0, 0], [150, 110, 400, 300], [5.5, 5.5, 6, 6]]
)
@pytest.mark.parametrize("state", list(State))
def test_boxes_anywhere_are_legal(box: list[float], state: State) -> None:
    found = Tracks([box], [0.5], [0], [1], [state])
    assert draw_found(GREY, found, ("person",)).shape == GREY.shape


def test_settings_speak_their_name() -> None:
    with pytest.raises(SettingsError, match="line_px is -1"):
        DrawSettings(line_px=-1)
    with pytest.raises(SettingsError, match="text_scale is -1"):
        DrawSettings(text_scale=-1)


def test_a_sheet_holds_every_picture_in_order() -> None:
    pictures = [np.full((20, 30, 3), 40 * k, np.uint8) for k in range(1, 6)]
    made = sheet(pictures, [""] * 5, columns=2)
    found = [int(value) for value in np.unique(made) if value in (40, 80, 120, 160, 200)]
    assert found == [40, 80, 120, 160, 200]
    with pytest.raises(InputError, match="5 pictures, 4 captions"):
        sheet(pictures, [""] * 4, columns=2)


def test_contact_sheet_and_encoding() -> None:
    frame = Frame(7, 0.7, GREY)
    made = contact_sheet([(frame, tracks(State.OBSERVED))] * 3, ("person",), columns=3, width_px=80)
    assert made.shape[1] > 3 * 80
    assert encoded(made, ".png").startswith(b"\x89PNG")
    assert encoded(made, ".webp")[8:12] == b"WEBP"


def test_evenly_never_repeats_a_frame() -> None:
    assert evenly(3, 10) == [0, 1, 2]
    assert evenly(120, 2) == [0, 119]


def test_one_box_is_drawn_in_place() -> None:
    canvas = GREY.copy()
    draw_box(canvas, np.array(BOX[0]), (255, 0, 0))
    assert tuple(canvas[40, 60]) == (255, 0, 0)
    assert tuple(canvas[70, 70]) == (128, 128, 128)


def test_who_is_out_of_the_picture_is_not_named_at_its_edge() -> None:
    away = Tracks([[200.0, 40.0, 230.0, 100.0]], [0.9], [0], [3], [State.PREDICTED])
    drawn = draw_found(GREY, away, ("person",))
    assert (drawn == 128).all()


@pytest.mark.parametrize(
    ("height", "width", "least", "most"), [(240, 320, 1, 1), (2160, 3840, 7, 12)]
)
def test_lines_are_as_wide_as_suits_the_picture(height, width, least, most) -> None:
    """A box of a 4K picture is still seen when the picture is shown small."""
    found = Detections(np.array([[50.0, 50, 200, 200]]), np.ones(1), np.zeros(1))
    drawn = draw_found(np.zeros((height, width, 3), np.uint8), found, ["a"])
    side = drawn[120, 20:80].max(axis=1) > 100
    assert least <= side.sum() <= most


@pytest.mark.parametrize(
    ("size_px", "box_px"),
    [((1080, 1920), (500, 400, 590, 560)), ((480, 640), (300, 200, 310, 212))],
    ids=["a box of 1080p", "a box of 10 px"],
)
def test_lines_of_a_film_strip_leave_the_object_visible(
    size_px: tuple[int, int], box_px: tuple[int, int, int, int]
) -> None:
    """In width of the dark and light line together, in pixels of the strip."""
    frame = Frame(0, 0.0, np.full((*size_px, 3), 128, np.uint8))
    where = np.array([box_px], float)
    truth = TrackTable(frames=[0], times_s=[0.0], ids=[NO_ID], boxes_xyxy=where, labels=[0])
    failure = Failure(
        kind="miss", video="a", frame=0, time_s=0.0, first_frame=0, last_frame=0,
        box_xyxy=box_px, severity=1.0, words="",
    )  # fmt: skip
    cell = film._cell(frame, failure, truth, TrackTable.empty(), timed=False)
    covered = (abs(cell[:, :-2].astype(float) - 128) > 12).any(axis=2)
    view = film._view(where[0], frame)
    zoom = film._CELL_PX / (view[2] - view[0])
    around = 2 * zoom * float(np.sum(where[0, 2:] - where[0, :2]))
    assert 1.0 < covered.sum() / around < 2.2
    assert cell.max() > 200, "the line is light"
