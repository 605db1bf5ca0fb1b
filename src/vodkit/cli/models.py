"""``vodkit models``: every model by name, and whether its weights are here."""

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
    print("\nA file works as well: .safetensors, .pth, .onnx, .xml, .pb (docs/detectors.md)")
