"""``vodkit models``: every model by name, and whether its weights are here."""

import typer

from vodkit.cli import options


def models(as_json: bool = options.JSON) -> None:
    """List all models: input, expected AP, licence, size, and whether the weights are here.

    Example: vodkit models --json
    """
    from vodkit.detect.models import listed

    lines = listed()
    if as_json:
        import json
        from dataclasses import asdict

        print(json.dumps([{**asdict(x.card), "path": str(x.path), "here": x.here} for x in lines]))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for title in ("model", "input", "classes", "expected", "licence", "MB", "weights"):
        table.add_column(title, no_wrap=title in {"model", "weights"})
    for line in lines:
        card, wanted = line.card, line.card.preprocessing
        expected = "; ".join(f"{m.name} {m.value:.3f} ({m.data})" for m in card.expected)
        size = f"{card.size_bytes / 1e6:.1f}" if card.size_bytes else "?"
        table.add_row(
            card.name,
            f"{wanted.width_px}x{wanted.height_px} {wanted.resize}",
            str(len(card.classes)),
            expected,
            card.licence,
            size,
            "here" if line.here else "to fetch",
        )
    Console().print(table)
    typer.echo("\nA file works as well: .safetensors, .pth, .onnx, .xml, .pb (docs/detectors.md)")
