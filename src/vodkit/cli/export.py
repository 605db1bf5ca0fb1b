"""``vodkit export``: a network as a file for elsewhere, with its parity certificate."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vodkit.cli import options
from vodkit.cli.terminal import say, say_json, say_next
from vodkit.infer.settings import InferSettings

if TYPE_CHECKING:
    from vodkit.benchmark.temporal_certificate import ClipCertificate
    from vodkit.detect.export import Certificate

_SIZE = "Input size of the network: pixels as 640, or width x height as 640x384."


def export(
    model: str = typer.Argument(help="A model's name (vodkit models), or a checkpoint."),
    out: Path = typer.Argument(
        help="The file to write: .onnx, .xml, .pt2; hf://owner/name: push a checkpoint."
    ),
    frames: str = typer.Option("", help="A video, on whose frames original and export compare."),
    num_frames: int = typer.Option(8, min=1, help="Compare on so many frames of it."),
    data: Path = typer.Option(None, help="Labelled videos: AP and HOTA of both go into the paper."),
    split: str = typer.Option("", help="Of --data and --calibrate; default: all videos."),
    int8: bool = typer.Option(False, "--int8", help="Quantise; needs --calibrate."),
    calibrate: Path = typer.Option(None, help="A dataset that INT8 is calibrated on."),
    num_calibrate: int = typer.Option(128, min=1, help="Frames of it to calibrate on."),
    weights: str = typer.Option("default", help="Another weight file for the model."),
    temporal: Path = typer.Option(
        None, "--temporal", help="Also export this temporal head, as OUT.temporal.onnx or .xml."
    ),
    size: str = options.option_of(InferSettings, "size", help=_SIZE),
    tolerance_px: float = typer.Option(None, help="Refuse if a corner is off by more (0.5)."),
    tolerance_score: float = typer.Option(None, help="Refuse if a score is off by more (0.001)."),
    tolerance_ap: float = typer.Option(None, help="Of AP that may be lost (0.002; INT8: 0.02)."),
    tolerance_hota: float = typer.Option(None, help="Of HOTA (0.002; INT8: 0.03)."),
    as_json: bool = options.JSON,
) -> None:
    """Export a detector to ONNX, OpenVINO or torch.export. Refused if it says something else.

    Example: vodkit export vodkit-street street.onnx --frames plaza.mp4
    """
    from dataclasses import asdict, replace

    from vodkit.benchmark import certificates as certify
    from vodkit.benchmark.temporal_certificate import NUM_FRAMES, export_head, stages_for
    from vodkit.detect.export import INT8, Tolerances, export_detector
    from vodkit.detect.input_size import card_at
    from vodkit.detect.models import build_network, find_card
    from vodkit.ground.errors import SettingsError

    if str(out).startswith("hf:"):
        from vodkit.detect.hub import PREFIX, push

        place = PREFIX + out.as_posix().removeprefix("hf:").lstrip("/")
        say(push(Path(model), place))
        say_next("vodkit", "track", "my_video.mp4", "--model", place)
        return
    card = card_at(find_card(model)[0], size)  # refused before data is read
    wanted, maps = card.preprocessing, tuple[str, ...]()
    if int8 != (calibrate is not None):
        raise SettingsError("--int8 and --calibrate go together: ranges come from your data")
    judged_on = data or calibrate
    if not frames and judged_on is None:
        raise SettingsError("give --frames VIDEO or --data LABELS: what is compared on?")
    some_data = judged_on or Path()
    given = {
        "px": tolerance_px,
        "score": tolerance_score,
        "ap": tolerance_ap,
        "hota": tolerance_hota,
    }
    given = {name: value for name, value in given.items() if value is not None}
    tolerances = replace(INT8 if int8 else Tolerances(), **given)
    if temporal is not None:
        _network, loaded = build_network(model, weights=weights, size=size)
        maps = stages_for(temporal, out, loaded, is_exact=not int8)
    calibration = []
    if calibrate is not None:
        calibration = certify.spread_frames(
            *certify.labelled(calibrate, split=split), num_calibrate, wanted
        )
    some = certify.frames_of(frames, num_frames, wanted) if frames else []
    if judged_on is not None and not some:
        some = certify.spread_frames(*certify.labelled(judged_on, split=split), num_frames, wanted)
    certificate = export_detector(
        model,
        out,
        frames=some,
        weights=weights,
        size=size,
        calibrate_on=calibration,
        judge=None if judged_on is None else certify.judge_on(judged_on, split=split),
        tolerances=tolerances,
        maps=maps,
    )
    on_clip = None
    if temporal is not None:
        source = frames or certify.first_video(some_data, split=split)
        on_clip = export_head(
            model,
            temporal,
            out,
            clip=certify.clip_of(source, NUM_FRAMES, wanted),
            weights=weights,
            size=size,
            tolerances=tolerances,
        )
    if as_json:
        more = {} if on_clip is None else {"temporal": asdict(on_clip)}
        say_json({**asdict(certificate), **more})
        return
    _show(certificate, out)
    if on_clip is not None:
        _show_head(on_clip, out)


def _show(seen: "Certificate", out: Path) -> None:
    say(f"{out}  ({seen.num_boxes} boxes in {seen.num_pictures} pictures compared)")
    say(f"  corners off by at most {seen.max_box_difference_px:.3g} px")
    say(f"  scores off by at most  {seen.max_score_difference:.3g}")
    if len(seen.by_input) > 1:
        sizes = ", ".join(f"{size} ({one.num_boxes})" for size, one in seen.by_input.items())
        say(f"  inputs that were compared (boxes): {sizes}")
    if seen.num_unpaired:
        say(f"  boxes that only one of the two gives: {seen.num_unpaired}")
    if seen.on_data is not None:
        ap, hota = seen.on_data.ap, seen.on_data.hota
        say(f"  AP {ap[0]:.3f} -> {ap[1]:.3f} on {seen.on_data.data}")
        if hota is not None:
            say(f"  HOTA {hota[0]:.3f} -> {hota[1]:.3f}")
    say(f"  certificate: {out}.parity.json   use it: vodkit track VIDEO --model {out}")


def _show_head(seen: "ClipCertificate", out: Path) -> None:
    from vodkit.benchmark.temporal_certificate import head_path

    head = head_path(out)
    say(f"{head}  ({seen.num_boxes} boxes in a clip of {seen.num_frames} frames compared)")
    say(f"  corners off by at most {seen.max_box_difference_px:.3g} px")
    say(f"  scores off by at most  {seen.max_score_difference:.3g}")
    use = f"vodkit track VIDEO --model {out} --temporal {head}"
    say(f"  certificate: {head}.parity.json   use it: {use}")
