"""``vodkit models``: every model by name, and whether its weights are here."""

from pathlib import Path

import typer

from vodkit.cli import options


def models(
    trust: Path = typer.Option(
        None, help="A .pt2 archive from elsewhere that may be read, though it can run code."
    ),
    as_json: bool = options.JSON,
) -> None:
    """List all models: input, AP, licence, size, and which are here.

    Example: vodkit models --json
    """
    from vodkit.detect.models import listed

    if trust is not None:
        _trust(trust)
        return

    lines = listed()
    if as_json:
        import json
        from dataclasses import asdict

        print(json.dumps([{**asdict(x.card), "path": str(x.path), "here": x.here} for x in lines]))
        return
    row = "{:38} {:>9} {:>4} {:>6} {:>6}  {:13} {:8} {}"
    print(row.format("model", "input px", "cls", "MB", "AP", "licence", "weights", "AP on"))
    for line in lines:
        card, wanted = line.card, line.card.preprocessing
        size = f"{card.size_bytes / 1e6:.1f}" if card.size_bytes else "?"
        best = next((metric for metric in card.expected if metric.name == "AP"), None)
        values = (f"{wanted.width_px}x{wanted.height_px}", len(card.classes), size)
        promise = (f"{best.value:.3f}", card.licence) if best else ("?", card.licence)
        where = "here" if line.here else "to fetch"
        print(row.format(card.name, *values, *promise, where, best.data if best else ""))
    print("\nA file works as well: .safetensors, .pth, .onnx, .xml, .pb, .pt2 (docs/detectors.md)")


def _trust(path: Path) -> None:
    from vodkit.detect import weights
    from vodkit.ground.errors import WeightsError

    if path.suffix != ".pt2" or not path.is_file():
        raise WeightsError(f"{path}: only .pt2 archives need trust; allowed: a file that is there")
    print(f"{path} may be read from now on (sha256 {weights.trust(path)[:12]})")
