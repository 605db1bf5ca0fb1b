"""``vodkit models``: every model by name, and whether its weights are here."""

from pathlib import Path

import typer

from vodkit.cli import options
from vodkit.cli.terminal import say, say_json, say_table


def models(
    trust: Path = typer.Option(
        None, help="A .pt2 archive from elsewhere that may be read, though it can run code."
    ),
    as_json: bool = options.JSON,
) -> None:
    """List all models: input, AP, licence, size, and which are here.

    Example: vodkit models --json
    """
    from vodkit.detect.foreign import DETECTORS
    from vodkit.detect.imagenet import LITE
    from vodkit.detect.models import listed
    from vodkit.detect.open_models import OPEN

    if trust is not None:
        _trust(trust)
        return

    lines = listed()
    if as_json:
        from dataclasses import asdict

        say_json([{**asdict(x.card), "path": str(x.path), "here": x.here} for x in lines])
        return
    # What APs are of, and licences, are long and mostly the same: they are notes below the table.
    rows, measured, licences = [], list[str](), dict[str, list[str]]()
    for line in lines:
        card, wanted = line.card, line.card.preprocessing
        licences.setdefault(card.licence, []).append(card.name)
        best = next((metric for metric in card.expected if metric.name == "AP"), None)
        if best and best.data not in measured:
            measured.append(best.data)
        promise = f"{best.value:.3f} [{measured.index(best.data) + 1}]" if best else "?"
        values = [f"{wanted.width_px}x{wanted.height_px}", str(len(card.classes)), promise]
        there = "ImageNet's" if card.name in LITE else "here" if line.here else "to fetch"
        rows.append([card.name, *values, there])
    say_table(["model", "input px", "classes", "AP", "weights"], rows)
    say(*(f"[{number}] AP on {data}" for number, data in enumerate(measured, 1)))
    say("ImageNet's: of the backbone alone, in the extra 'backbones'; for vodkit train")
    most = max(licences, key=lambda one: len(licences[one]))
    others = "; ".join(
        f"{one} ({', '.join(names)})" for one, names in licences.items() if one != most
    )
    say(f"licences: {most}{' for all but these: ' if others else ''}{others}")
    say(*(f"{name}  from an installed package" for name in DETECTORS))
    say(*(f"{name}  any class, by --prompt 'a red cup=cup'; {one.licence}, to fetch, "
          f"{one.size_bytes / 1e6:.0f} MB" for name, one in OPEN.items()))  # fmt: skip
    say(
        "",
        "A file works, too: .safetensors, .pth, .onnx, .xml, .pb, .pt2 (docs/guides/detectors.md)",
    )


def _trust(path: Path) -> None:
    from vodkit.detect import weights
    from vodkit.ground.errors import WeightsError

    if path.suffix != ".pt2" or not path.is_file():
        raise WeightsError(f"{path}: only .pt2 archives need trust; allowed: an existing file")
    say(f"{path} may be read from now on (sha256 {weights.trust(path)[:12]})")
