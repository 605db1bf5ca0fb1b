"""Causes in the numbers of an evaluation: kinds of errors, calibration, identities."""

from collections.abc import Iterator, Mapping
from typing import Any

from vodkit.doctor.causes import Cause, share_of
from vodkit.doctor.training import loose

UNCALIBRATED = 0.15
_KINDS = {
    "class": ("confused-classes", "the confusion table of report.html; --class-map; more labels"),
    "localisation": ("loose-boxes", "tighter labels, --freeze none, or a larger input"),
    "missed": ("missed", "vodkit doctor on the dataset: few labels, small objects"),
    "background": ("false-alarms", "label empty frames, too; vodkit data audit --predictions"),
}


def evaluation_causes(metrics: Mapping[str, Any]) -> tuple[list[Cause], dict[str, Any]]:
    """Causes in the content of ``metrics.json``.

    Raises:
        KeyError, TypeError: it lacks what every evaluation has.
    """
    detection = metrics["detection"]
    coco = detection["coco"]["overall"]
    facts = {
        "ap": coco["ap"],
        "ap50": coco["ap50"],
        "ap_loss": detection["errors"]["ap_loss"],
        "calibration_error": detection["calibration"]["expected_error"],
    }
    causes = [
        *_errors(detection["errors"], coco),
        *_scores(metrics),
        *_audited(metrics),
        *_identities(metrics, facts),
    ]
    if not any(one.code == "loose-boxes" for one in causes):
        causes += loose(coco["ap"], coco["ap50"], "evaluation")
    return causes, facts


def _errors(errors: Mapping[str, Any], coco: Mapping[str, Any]) -> Iterator[Cause]:
    for kind, (code, advice) in _KINDS.items():
        loss = errors["ap_loss"][kind]
        if loss is not None and loss > 0.05:
            yield Cause(
                code=code,
                weight=share_of(loss, 0, 0.4),
                seen=f"{kind} errors cost {loss:.3f} of AP50 ({coco['ap50']:.3f})",
                advice=advice,
            )


def _scores(metrics: Mapping[str, Any]) -> Iterator[Cause]:
    error = metrics["detection"]["calibration"]["expected_error"]
    if error is not None and error > UNCALIBRATED:
        yield Cause(
            code="uncalibrated",
            weight=share_of(error, 0.1, 0.6),
            seen=f"scores differ from the share of right boxes by {error:.2f} on average",
            advice="choose thresholds from the F1 curve of report.html, not from the score itself",
        )
    used = metrics["settings"]["min_score"]
    for name, curve in metrics["detection"]["curves"].items():
        best = curve["best_threshold"]
        if best is not None and abs(best - used) > 0.3:
            yield Cause(
                code="threshold",
                weight=share_of(abs(best - used), 0.2, 1.2),
                seen=f"{name}: the best threshold is {best:.2f}, used was {used:.2f}",
                advice=f"choose it on val, then: vodkit eval ... --set min_score={best:.2f}",
            )


def _audited(metrics: Mapping[str, Any]) -> Iterator[Cause]:
    words = str(metrics.get("about", {}).get("audit", ""))
    warned = [*metrics["data"].get("split_warnings", ())]
    if "leak" in words or warned:
        yield Cause(
            code="leak",
            weight=0.7,
            seen="; ".join([*([words] if "leak" in words else []), *warned]),
            advice="figures are too good: split again by video, then train and measure again",
        )


def _identities(metrics: Mapping[str, Any], facts: dict[str, Any]) -> Iterator[Cause]:
    tracking = metrics.get("tracking")
    if tracking is None:
        return
    overall, tracks = tracking["overall"], metrics["data"]["num_tracks"]
    switches = overall["counts"]["clear"]["idsw"]
    facts["id_switches"], facts["tracks"] = switches, tracks
    det, ass = overall["hota"]["det_a"], overall["hota"]["ass_a"]
    if tracks and switches / tracks > 1 and ass is not None and ass < 0.75:
        yield Cause(
            code="id-switches",
            weight=share_of(switches / tracks, 0, 5),
            seen=f"{switches} id switches in {tracks} tracks (DetA {det:.2f}, AssA {ass:.2f})",
            advice="--appearance roi; --set life.occluded_s=4; vodkit refine; report.html's reel",
        )
