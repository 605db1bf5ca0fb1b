"""What a training says into a file: something early, and never a flood."""

from vodkit.cli.training_progress import Lines
from vodkit.train.freeze import StageRow
from vodkit.train.progress import Progress


def said(told: list[tuple[float, Progress]]) -> list[str]:
    lines: list[str] = []
    now_s = [0.0]
    show = Lines(lines.append, clock=lambda: now_s[0])
    for now_s[0], progress in told:
        show(progress)
    return lines


def step(done: int, epoch: int = 0) -> Progress:
    losses = {"box": 2.0, "class": 0.5}
    kind = {"what": "step", "losses": losses, "lr": 1e-3, "num_epochs": 4}
    return Progress(done=done, total=100, epoch=epoch, **kind)


def test_of_steps_the_first_is_told_and_then_ever_fewer() -> None:
    """400 steps of a second each: lines after 0, 5, 10, 20, 40 ... seconds."""
    lines = said([(k, step(k % 100 + 1, k // 100)) for k in range(400)])
    assert lines[0] == "step 1 of 400: box 2.000, class 0.500, lr 1.0e-03"
    counts = [int(line.split()[1]) for line in lines]
    assert counts == [1, 6, 11, 21, 41, 81, 161, 321]
    assert lines[3].endswith("lr 1.0e-03; 6.3 min left")


def test_what_was_done_before_a_stop_says_nothing_of_the_time_left() -> None:
    lines = said([(0, step(50, 2)), (10, step(60, 2))])
    assert lines[1].endswith("; 2.3 min left")  # 140 steps of a second


def test_each_thing_begins_with_a_line_of_its_own() -> None:
    features = [Progress(what="features of train", done=8 * k, total=80) for k in range(1, 11)]
    rows = (StageRow(stage="stem", parameters=1200, trainable=0),)
    begun = Progress(what="material", done=0, total=0, told=("to learn from: 9 frames",))
    table = Progress(what="parameters", done=0, total=2, num_epochs=3, parameters=rows)
    epoch = Progress(what="epoch", done=1, total=3, losses={"box": 1.0}, ap=0.25, wait_share=0.5)
    lines = said([(k, one) for k, one in enumerate([begun, *features, table, step(1), epoch])])
    assert lines == [
        "to learn from: 9 frames",
        "features of train 8 of 80",
        "features of train 48 of 80; 4 s left",
        "  stage     parameters     trained",
        "  stem           1,200           0",
        "3 epochs of 2 steps",
        "step 1 of 400: box 2.000, class 0.500, lr 1.0e-03",
        "epoch 1 of 3: AP 0.250, box 1.000 (waited for data 50%)",
    ]
