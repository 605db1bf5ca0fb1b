"""Settings are one thing in all doors; a run folder knows what ran, how it ended, and its age."""

import inspect
import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from vodkit.cli.detect import detect
from vodkit.cli.options import option_of, with_settings
from vodkit.cli.track import track
from vodkit.detect.checkpoint import save_checkpoint
from vodkit.detect.models import find_card, load_detector
from vodkit.ground import ledger
from vodkit.ground import settings as files
from vodkit.ground.errors import FormatError, InputError, SettingsError
from vodkit.infer.folder import RunFolder, open_run
from vodkit.infer.follow import make_follower, tracker_words
from vodkit.infer.manifest import Ended, Manifest, read_manifest
from vodkit.infer.settings import InferSettings, RollSettings


def test_options_are_the_fields_with_their_defaults() -> None:
    """An option that is missing, or has a default of its own, would be a second truth."""
    shown = {one.name: one for one in fields(InferSettings) if not one.metadata["hidden"]}
    of_track = inspect.signature(track).parameters
    assert set(shown) <= set(of_track)
    assert {one.name for one in fields(RollSettings)} <= set(of_track)
    seen: list[InferSettings] = []

    @with_settings()
    def command(*, wanted: InferSettings) -> None:
        seen.append(wanted)

    parameters = inspect.signature(command).parameters
    command(**{name: one.default.default for name, one in parameters.items()})
    assert seen == [InferSettings()]
    assert option_of(InferSettings, "score_threshold").default == InferSettings().score_threshold
    of_library = inspect.signature(load_detector).parameters
    for name in ("score_threshold", "max_detections", "runtime", "device", "size"):
        assert of_library[name].default == getattr(InferSettings(), name), name
    assert set(inspect.signature(detect).parameters) < set(of_track)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"score_threshold": 1.0}, "score_threshold is 1.0; allowed: 0 or more, below 1"),
        ({"max_detections": 0}, "max_detections is 0; allowed: 1 or more"),
        ({"every": 0}, "every is 0; allowed: 1 or more"),
        ({"every": "2x"}, "every is '2x'; allowed: auto, or a whole number from 1"),
        ({"size": "full"}, "size is 'full'; allowed: network, auto, pixels as 640"),
        ({"decode": "big"}, "decode is 'big'; allowed: network, full"),
        ({"tiles": "3x"}, "tiles is '3x'; allowed: auto, or columns x rows as 3x2"),
        ({"tracker": "none", "every": "auto"}, "every is auto, tracker is none"),
        ({"tracker": "none", "after": "a"}, "after is a, tracker is none"),
        ({"tracker": "none", "tracker_settings": ("x=1",)}, "tracker is none, but has settings"),
    ],
)
def test_values_out_of_range_name_the_range(given: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message.replace("'", ".")):
        InferSettings(**given)  # type: ignore[arg-type]


def test_settings_survive_the_file(tmp_path: Path) -> None:
    wanted = InferSettings(
        every="auto", classes=("a", "b"), tracker_settings=("life.lost_s=2",), ahead=3
    )
    (tmp_path / "settings.toml").write_text(files.to_toml(wanted))
    assert RunFolder(tmp_path).settings == wanted
    assert InferSettings(every="7").every == 7


def test_the_card_of_a_model_says_what_scores_are_typical_for_the_tracker(tmp_path: Path) -> None:
    card = replace(find_card("yolox_nano")[0], typical_scores={"car": 0.7, "person": 0.8})
    model = tmp_path / "own.safetensors"
    save_checkpoint({}, card, model)
    own = InferSettings(model=str(model), classes=("bird", "person", "car"))
    assert tracker_words(own) == ("typical=[0.0, 0.8, 0.7]",)
    folder = RunFolder(tmp_path / "run")
    folder.prepare(own)
    assert "typical=[0.0, 0.8, 0.7]" in folder.settings.tracker_settings
    follower = make_follower(own)
    assert follower.tracker.settings.typical == (0.0, 0.8, 0.7)  # type: ignore[union-attr]
    given = replace(own, tracker_settings=("typical=[]",))
    assert make_follower(given).tracker.settings.typical == ()  # type: ignore[union-attr]
    assert tracker_words(replace(own, tracker="sort")) == ()
    assert tracker_words(InferSettings()) == ()  # the bundled card knows none


def test_a_run_is_resumed_with_what_it_chose_and_with_nothing_else(tmp_path: Path) -> None:
    folder, wanted = RunFolder(tmp_path), InferSettings(tracker_settings=("life.lost_s=2",))
    folder.prepare(wanted)
    ran = replace(folder.settings, runtime="onnx", device="cpu", batch_size=8)
    assert "life.lost_s=2.0" in ran.tracker_settings, "all settings of the tracker are there"
    assert len(ran.tracker_settings) > 20
    (folder / "settings.toml").write_text(files.to_toml(ran))
    (folder / "predictions.jsonl").write_text("of a run")
    assert RunFolder(tmp_path).check(wanted, resume=True)
    assert RunFolder(tmp_path).check(replace(wanted, runtime="onnx", ahead=0), resume=True)
    for other, seen in (
        ({"runtime": "torch"}, "runtime = 'onnx', requested: 'torch'"),
        ({"tracker_settings": ()}, r"tracker_settings = \['life.lost_s=2.0'\], requested: "),
        ({"lenient": True}, "lenient = False, requested: True"),
    ):
        with pytest.raises(SettingsError, match=seen):
            RunFolder(tmp_path).check(replace(wanted, **other), resume=True)


def test_the_settings_of_an_older_version_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text('model = "m"\n\n[flow]\nevery = 1\nsparse = false\n')
    (tmp_path / "predictions.jsonl").write_text("of a run")
    ledger.record(tmp_path, "settings.toml", "predictions.jsonl")
    with pytest.raises(
        SettingsError, match=r"not settings that this version .*--overwrite"
    ) as told:
        RunFolder(tmp_path).check(InferSettings(), resume=True)
    assert "\n" not in str(told.value)
    RunFolder(tmp_path).check(InferSettings(), overwrite=True)


@pytest.mark.parametrize(
    ("written", "ended", "reason"),
    [
        ("complete", Ended.COMPLETE, ""),
        ("stopped", Ended.STOPPED, ""),
        ("broken", Ended.BROKEN, ""),
        # as versions before Ended wrote it
        ("running or killed", Ended.RUNNING, "or killed"),
        ("broken off: a.mp4 at 5 s: torn", Ended.BROKEN, "a.mp4 at 5 s: torn"),
        ("partial: 3 frames could not be decoded", Ended.PARTIAL, "3 frames could not be decoded"),
    ],
)
def test_manifests_of_all_ages_say_how_a_run_ended(
    tmp_path: Path, written: str, ended: Ended, reason: str
) -> None:
    content = {"source": "a.mp4", "ended": written, "num_frames": 0, "of_a_later_version": 1}
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    manifest = read_manifest(tmp_path)
    assert manifest is not None
    assert (manifest.ended, manifest.reason, manifest.num_frames) == (ended, reason, 0)
    again = Manifest.from_json(json.loads(json.dumps(manifest.to_json())))
    assert again == manifest


@pytest.mark.parametrize(
    "text", ["", "[]", "7", "{", '{"ended": "complete"}', '{"source": "a", "ended": "?"}']
)
def test_a_manifest_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    assert read_manifest(tmp_path) is None
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(FormatError, match=r"manifest\.json: not the manifest of a run"):
        read_manifest(tmp_path)
    assert not RunFolder(tmp_path).is_complete()


def test_what_is_no_run_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        open_run(tmp_path / "gone")
    with pytest.raises(InputError, match=r"a folder without predictions\.jsonl"):
        open_run(tmp_path)
