"""What ``--set help`` prints as a default is what a run without the setting uses."""

import pytest

from vodkit.cli.set_help import _CLASSES, explained
from vodkit.ground.settings import load
from vodkit.track.table import TRACKERS

CLASSES = {
    *(cls for find in _CLASSES.values() for cls in find({})),
    *(tracker[1] for tracker in TRACKERS.values()),
    *_CLASSES["train"]({"appearance": True}),
    *_CLASSES["train"]({"temporal": True}),
}


@pytest.mark.parametrize("cls", sorted(CLASSES, key=lambda cls: cls.__name__))
def test_giving_a_setting_its_printed_default_changes_nothing(cls: type) -> None:
    rows = list(explained(cls))
    required = [f"{one.name}=x" for one in rows if one.default == "required"]
    usual = load(cls, words=required)
    for one in rows:
        if one.default not in ("none", "required"):
            given = load(cls, words=[*required, f"{one.name}={one.default}"])
            assert given == usual, f"{one.name}: {one.default} is printed"
