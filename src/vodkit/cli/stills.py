"""``vodkit track`` and ``detect`` of a folder of still pictures: boxes, and no tracks."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vodkit.detect.base import Detector
    from vodkit.infer.folder import RunFolder
    from vodkit.infer.settings import InferSettings
    from vodkit.infer.stills import FoundInStills

RESULT = "predictions.json"


def stills_among(sources: Sequence[str], wanted: "InferSettings") -> list[str]:
    """The folders that hold still pictures; ``--picture-rate`` says that all are films.

    Raises:
        VideoError: a seqinfo.ini that is damaged.
    """
    from vodkit.video.pictures import are_no_film, pictures_in, rate_beside

    if wanted.picture_rate:
        return []
    folders = [source for source in sources if "://" not in source and Path(source).is_dir()]
    return [
        one
        for one in folders
        if rate_beside(Path(one)) is None and are_no_film(pictures_in(Path(one)))
    ]


def run_stills(
    stills: Sequence[str],
    sources: Sequence[str],
    wanted: "InferSettings",
    out: Path,
    coco: bool,
    refused: Sequence[str],
    *,
    resume: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Detect in each folder of still pictures, into ``predictions.json`` of its run folder.

    Raises:
        SettingsError: options of films, or films among the sources.
        PartialError: pictures that cannot be decoded.
    """
    from vodkit.cli.summary import raise_failures
    from vodkit.ground.errors import SettingsError, VodkitError
    from vodkit.infer.folder import folder_names

    hint = "if it is a film, give --picture-rate"
    if refused:
        raise SettingsError(f"{stills[0]} holds still pictures: no {', '.join(refused)}; {hint}")
    if films := [one for one in sources if one not in stills]:
        apart = f"{films[0]} does not: give them to commands of their own"
        raise SettingsError(f"{stills[0]} holds still pictures, {apart}; {hint}")
    if resume and overwrite:
        raise SettingsError("--resume continues, --overwrite starts anew; give one of the two")
    failures: list[list[VodkitError]] = []
    for source, name in zip(stills, folder_names(stills), strict=True):
        try:
            how = {"coco": coco, "resume": resume, "overwrite": overwrite, "as_json": as_json}
            _run(source, out / name, wanted, **how)
        except VodkitError as error:
            failures.append([error])
        else:
            failures.append([])
    raise_failures(failures)


def _run(
    source: str,
    place: Path,
    wanted: "InferSettings",
    *,
    coco: bool,
    resume: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    from vodkit.cli import terminal
    from vodkit.cli.summary import say_runtime
    from vodkit.formats.table import write_dataset
    from vodkit.ground import runs
    from vodkit.ground.errors import PartialError, VideoError
    from vodkit.infer.flow import with_size
    from vodkit.infer.folder import RunFolder
    from vodkit.infer.stills import detector_of_stills, settings_of_stills, stills_in

    folder = RunFolder(place)
    given = stills_in(Path(source))
    if not given.predictions.videos:
        raise VideoError(f"none of its pictures can be decoded: {given.unreadable[0]}", path=source)
    pictures = [Path(source) / one.source for one in given.predictions.videos]
    settings = with_size(settings_of_stills(wanted), pictures, notify=terminal.aside)
    terminal.aside(
        f"{source}: still pictures ({len(pictures)}), no film: no tracker, no motion; "
        "--picture-rate makes it a film"
    )
    with folder.claim():
        _make_ready(folder, resume=resume, overwrite=overwrite)
        detector = detector_of_stills(place, given.predictions, Path(source), settings)
        if not as_json:
            say_runtime(detector, settings)
        found = _found(given, Path(source), folder, detector, settings)
        files = [place / RESULT]
        write_dataset(found.predictions, files[0])
        if coco:
            files.append(place / runs.EXPORTS["coco"])
            write_dataset(found.predictions, files[1], "coco")
    _say(source, found, files, as_json=as_json)
    unreadable = (*given.unreadable, *found.unreadable)
    if unreadable:
        for line in unreadable:
            terminal.aside(line)
        raise PartialError(f"{source}: {len(unreadable)} pictures cannot be decoded")


def _make_ready(folder: "RunFolder", *, resume: bool, overwrite: bool) -> None:
    """OutputError where there is a run already, and it is neither continued nor replaced."""
    from vodkit.ground import ledger, runs
    from vodkit.ground.errors import OutputError
    from vodkit.infer.folder import ANEW
    from vodkit.infer.stills import RECORD

    names = (RECORD, RESULT, runs.EXPORTS["coco"])
    there = [folder / name for name in (*names, runs.MANIFEST) if (folder / name).exists()]
    if there and overwrite:
        folder.discard()
        for name in names:
            ledger.require_ours(folder / name)
            (folder / name).unlink(missing_ok=True)
    elif there and not resume:
        raise OutputError(f"has results already; --resume continues them, {ANEW}", path=there[0])
    elif (folder / runs.MANIFEST).exists():
        raise OutputError(f"is the run of a film; {ANEW}", path=folder.path)


def _found(
    given: "FoundInStills",
    root: Path,
    folder: "RunFolder",
    detector: "Detector",
    settings: "InferSettings",
) -> "FoundInStills":
    from vodkit.cli.bars import bar
    from vodkit.infer.stills import detect_stills, record_of

    dataset = given.predictions
    with (
        record_of(folder.path, dataset, root, detector, settings, anew=False) as record,
        bar(root.name, unit="images") as show,
    ):
        return detect_stills(dataset, root, detector, record=record, progress=show)


def _say(source: str, found: "FoundInStills", files: Sequence[Path], *, as_json: bool) -> None:
    from vodkit.cli import terminal

    videos = found.predictions.videos
    counts = [len(one.tracks) for one in videos if one.tracks is not None]
    if as_json:
        told = {"source": source, "folder": str(files[0].parent), "files": [*map(str, files)]}
        terminal.say_json(told | {"pictures": len(videos), "boxes": sum(counts)})
        return
    terminal.say(f"{source} -> {files[0].parent}", *(f"  {path}" for path in files))
    terminal.say(f"  {len(videos)} pictures, {sum(counts)} boxes in {sum(map(bool, counts))}")
