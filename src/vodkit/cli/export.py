"""``vodkit export``: a network as a file for elsewhere, with its parity certificate."""

from pathlib import Path

import typer

from vodkit.cli import options


def export(
    model: str = typer.Argument(help="A model's name (vodkit models), or a checkpoint."),
    out: Path = typer.Argument(help="The file to write; its ending says how: .onnx, .xml, .pt2."),
    frames: str = typer.Option(help="A video, on whose frames original and export are compared."),
    num_frames: int = typer.Option(8, min=1, help="Compare on so many frames of it."),
    weights: str = typer.Option("default", help="Another weight file for the model."),
    tolerance_px: float = typer.Option(0.5, min=0, help="Refuse if a corner is off by more."),
    tolerance_score: float = typer.Option(0.001, min=0, help="Refuse if a score is off by more."),
    as_json: bool = options.JSON,
) -> None:
    """Export a detector to ONNX, OpenVINO or torch.export; refused if it says something else.

    Example: vodkit export vodkit-street street.onnx --frames plaza.mp4
    """
    import json
    from dataclasses import asdict
    from itertools import islice

    from vodkit.detect.export import export_detector
    from vodkit.video.reader import open_video

    with open_video(frames) as video:
        every = max((video.info.num_frames or num_frames) // num_frames, 1)
        some = list(islice(video.frames(every=every), num_frames))
    certificate = export_detector(
        model,
        out,
        frames=some,
        weights=weights,
        tolerance_px=tolerance_px,
        tolerance_score=tolerance_score,
    )
    if as_json:
        print(json.dumps(asdict(certificate)))
        return
    print(f"{out}  ({certificate.num_boxes} boxes in {certificate.num_frames} frames compared)")
    print(f"  corners off by at most {certificate.max_box_difference_px:.3g} px")
    print(f"  scores off by at most  {certificate.max_score_difference:.3g}")
    print(f"  certificate: {out}.parity.json   use it: vodkit track VIDEO --model {out}")
