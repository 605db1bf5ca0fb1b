"""An evaluation as one HTML file for people, or two of them side by side.

Nothing in the page comes from elsewhere: pictures, curves and the few lines of script are inside,
so it can be mailed, printed and read without a network. Only the links that open a video at a
moment need the video to be where it was.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vodkit.ground.errors import InputError
from vodkit.ground.paths import relative
from vodkit.ground.records import Dataset, TrackTable
from vodkit.ground.runs import write_atomic
from vodkit.metrics.clips import Clip, make_clips
from vodkit.metrics.compare import Comparison, from_evaluation
from vodkit.report.every_number import every_number
from vodkit.report.failures import KINDS, Failure, find_failures
from vodkit.report.film import Strip, film_strips
from vodkit.report.headline import guards, headline, verdict
from vodkit.report.opening import opening, placed, result_strip
from vodkit.report.sections import Subject, charts, tables
from vodkit.report.timeline import timeline

EXPLAINED = {
    "switch": "Identity switches",
    "miss": "Missed objects",
    "false alarm": "False alarms",
    "flicker": "Flicker",
    "loose box": "Loose boxes",
}


OF_PICTURES = ("miss", "false alarm", "loose box")
"""kinds of failures that a single picture can show"""
_PER_KIND = 3  # failures of each kind, over all videos of a run
_MOST_TIMELINES = 20  # videos with a time line; the worst HOTA (else AP) first


@dataclass(frozen=True, kw_only=True)
class _Moment:
    """A failure in the template's words."""

    strip: Strip | None
    failure: Failure
    link: str
    command: str
    """opens the moment in ``vodkit review``"""


def write_report(
    path: str | Path,
    dataset: Dataset,
    root: str | Path,
    subjects: Sequence[Subject],
    *,
    comparisons: Sequence[Comparison] = (),
    notes: Sequence[str] = (),
    title: str = "Evaluation",
) -> None:
    """Write the page of one evaluation, or of several of the same data side by side.

    ``root`` is the folder that the dataset's sources are relative to; videos that are not there
    have no film strips. ``comparisons`` are of the first subject with others, by their titles, as
    ``metrics.compare.compare_all`` gives them. ``notes`` stand below the verdict. Raises InputError
    for subjects that were evaluated on different data, OutputError where the page cannot be
    written.
    """
    path, root = Path(path), Path(root)
    if not subjects:
        raise InputError("a report of no evaluation; allowed: 1 or more")
    prints = {subject.evaluation.data.fingerprint for subject in subjects}
    if len(prints) > 1:
        names = ", ".join(subject.title for subject in subjects)
        raise InputError(f"{names} were evaluated on different data; evaluate all on the same")
    clips = [make_clips(dataset, subject.predictions) for subject in subjects]
    stills = subjects[0].evaluation.data.stills
    pairs = list(zip(subjects, clips, strict=True))
    runs = [from_evaluation(subject.evaluation, subject.title) for subject in subjects]
    content = {
        "title": title,
        "notes": placed(_notes(subjects, comparisons, notes)),
        "openings": [opening(subject) for subject in subjects],
        "strip": result_strip(subjects[0], clips[0], root),
        "stills": stills,
        "subjects": [subject.title for subject in subjects],
        "guards": [(run.name, guards(run)) for run in runs],
        "headline": headline(runs, comparisons, stills=stills),
        "confidence": f"{runs[0].confidence:.0%}",
        "verdicts": [(f"{one.a} against {one.b}", verdict(one)) for one in comparisons],
        "charts": charts(subjects),
        "tables": [*tables(subjects), every_number(subjects)],
        "timelines": [] if stills else _timelines(pairs),
        "reels": [_reel(subject, one, root, path) for subject, one in pairs],
    }
    write_atomic(path, render("report.html.j2", content))


def render(template: str, content: Mapping[str, Any]) -> str:
    """A template of ``templates/`` filled in; everything is escaped unless marked as markup."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent / "templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template(template).render(**content)


def _notes(
    subjects: Sequence[Subject], comparisons: Sequence[Comparison], notes: Sequence[str]
) -> list[str]:
    every = [*notes, *(note for subject in subjects for note in subject.evaluation.notes)]
    every += [note for comparison in comparisons for note in comparison.notes]
    return list(dict.fromkeys(every))


def _timelines(
    pairs: Sequence[tuple[Subject, Sequence[Clip]]],
) -> list[tuple[str, list[tuple[str, str]]]]:
    """(video, [(subject, SVG)]), the worst videos first."""

    def goodness(source: str) -> float:
        scores = pairs[0][0].evaluation.per_video[source]
        value = scores.ap if scores.hota is None else scores.hota
        return 1.0 if value is None else value

    sources = sorted((clip.name for clip in pairs[0][1]), key=goodness)
    made = []
    for source in sources[:_MOST_TIMELINES]:
        bands = []
        for subject, clips in pairs:
            clip = next(one for one in clips if one.name == source)
            min_score = subject.evaluation.settings.min_score
            title = f"{source}, {subject.title}"
            bands.append((subject.title, timeline(clip, min_score=min_score, title=title)))
        made.append((source, bands))
    return made


def _reel(
    subject: Subject, clips: Sequence[Clip], root: Path, page: Path
) -> tuple[str, tuple[tuple[str, tuple[_Moment, ...]], ...]]:
    """The subject's title, and its failures by kind."""
    min_score = subject.evaluation.settings.min_score
    found = [find_failures(clip, min_score=min_score, per_kind=_PER_KIND) for clip in clips]
    every = [failure for failures in found for failure in failures]
    chosen: list[Failure] = []
    for kind in KINDS:
        of_kind = [failure for failure in every if failure.kind == kind]
        chosen += sorted(of_kind, key=lambda failure: -failure.severity)[:_PER_KIND]
    strips: dict[Failure, Strip] = {}
    for clip in clips:
        here = [failure for failure in chosen if failure.video == clip.name]
        if (root / clip.name).exists():
            truth = TrackTable.concat([clip.truth, clip.regions])
            made = film_strips(root / clip.name, here, truth, clip.found)
            strips |= {strip.failure: strip for strip in made}
    moments = [
        _Moment(
            failure=failure,
            strip=strips.get(failure),
            link=_link(subject, failure, root, page),
            command=_command(subject, failure, root, page),
        )
        for failure in chosen
    ]
    kinds = tuple(
        (EXPLAINED[kind], tuple(one for one in moments if one.failure.kind == kind))
        for kind in KINDS
        if not subject.evaluation.data.stills or kind in OF_PICTURES
    )
    return subject.title, kinds


def _command(subject: Subject, failure: Failure, root: Path, page: Path) -> str:
    """What opens the moment for correction: with the labels, where the page knows their file."""
    truth = subject.evaluation.about.get("truth")
    if truth:
        return shlex.join(
            ["vodkit", "review", "--data", truth, "--at", f"{failure.video}:{failure.frame}"]
        )
    source = relative(root / failure.video, page.parent)
    return shlex.join(["vodkit", "review", source, "--at", str(failure.frame)])


def _link(subject: Subject, failure: Failure, root: Path, page: Path) -> str:
    """What opens the video half a second before the moment (a media fragment)."""
    given = subject.videos.get(failure.video)
    if given is None:
        given = quote(relative(root / failure.video, page.parent))
    if subject.evaluation.data.stills:
        return given
    return f"{given}#t={max(failure.time_s - 0.5, 0):.2f}"
