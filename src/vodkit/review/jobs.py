"""Work of a model in the background: prelabel, follow, learn. One at a time, killable.

Each job is a process of its own (``worker.py``); learning, beside which people label on, at low
priority. What it finds becomes entries of the journal; what a person has changed or accepted stays.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground.errors import InputError, VodkitError
from vodkit.ground.lookup import pick
from vodkit.ground.paths import relative
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable
from vodkit.ground.runs import write_atomic
from vodkit.review.appearance import Appearance
from vodkit.review.curve import Track, evaluate, from_json, to_json
from vodkit.review.project import MODEL, Project, put
from vodkit.review.relabel import Prediction, relabelled

LEAST_ACCEPTED = 20
"""frames from which on there is something to learn from"""
_NICE = {"prelabel": 0, "follow": 0, "learn": 5}
"""how much lower the priority of a job is than that of the page; people wait for the first two"""


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """The model that helps; none: people alone."""

    model: str = ""
    epochs: int = 0
    """of learning; 0: by the number of frames"""
    follow: str = ""
    """folder of SAM 2's video weights, by which objects are followed; else the model does it"""


class Jobs:
    """The background work of one review."""

    def __init__(self, project: Project, settings: ModelSettings) -> None:
        """Nothing runs yet."""
        self.committing = threading.Lock()
        self.tell: Callable[[dict[str, Any]], None] = lambda _message: None
        self._project = project
        self._settings = settings
        self._waiting: list[dict[str, Any]] = []
        self._wake = threading.Condition()
        self._process: subprocess.Popen[str] | None = None
        self._words = ""
        self._closed = False
        self._folder = project.settings.out.absolute().with_suffix(".models")
        self._scratch = tempfile.TemporaryDirectory(prefix="vodkit-review-")
        self._thread = threading.Thread(target=self._work, name="vodkit-review-jobs", daemon=True)
        self._thread.start()

    def running(self) -> list[str]:
        """What runs, in words; empty: nothing."""
        return [self._words] if self._words else []

    def can_learn(self) -> bool:
        """Whether there is a model to prelabel, follow and learn with."""
        return bool(self._settings.model)

    def ask(self, body: Mapping[str, Any]) -> None:
        """Queue a job: ``{"do": "prelabel" | "follow" | "learn" | "stop", ...}``.

        Raises:
            InputError: unknown job, no model, or too few accepted frames.
        """
        pick(dict.fromkeys(("prelabel", "follow", "learn", "stop")), str(body.get("do")), "job")
        if body["do"] == "stop":
            self.stop()
            return
        if not self.can_learn() and not (body["do"] == "follow" and self._settings.follow):
            raise InputError("no model; start vodkit review with --model")
        document = self._project.journal.document
        job = {name: body[name] for name in ("do", "video", "track", "frame") if name in body}
        if job["do"] == "learn":
            count = sum(
                last - first + 1
                for video in range(len(self._project.paths))
                for first, last in document.accepted(video)
            )
            if count < LEAST_ACCEPTED:
                raise InputError(f"{count} frames are accepted; learning needs {LEAST_ACCEPTED}")
        else:
            video = job.get("video")
            if type(video) is not int or not 0 <= video < len(self._project.paths):
                raise InputError(f"video {video!r}; allowed: 0 to {len(self._project.paths) - 1}")
        if job["do"] == "follow":
            self._require_box(job)
        with self._wake:
            if job in self._waiting:
                raise InputError("this is waiting to run already")
            self._waiting.append(job)
            self._wake.notify()

    def prelabel_unlabelled(self) -> None:
        """Queue the videos of which nothing is labelled."""
        document = self._project.journal.document
        for video in range(len(self._project.paths)):
            if not document.tracks(video):
                self.ask({"do": "prelabel", "video": video})

    def stop(self) -> None:
        """Kill what runs, and drop what waits."""
        with self._wake:
            self._waiting.clear()
            process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """End all work."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self.stop()
        self._thread.join()
        self._scratch.cleanup()

    def _require_box(self, job: Mapping[str, Any]) -> None:
        video, number, frame = (job.get(name) for name in ("video", "track", "frame"))
        document = self._project.journal.document
        track = document.parts.get(("track", video, number))
        if (
            track is None
            or type(frame) is not int
            or self._box(int(video or 0), track, frame) is None
        ):
            raise InputError(f"track {number!r} has no box in frame {frame!r}")

    def _box(self, video: int, track: Track, frame: int) -> list[float] | None:
        timing = self._project.journal.document.timings[video]
        if not 0 <= frame < timing.num_frames:
            return None
        shown = evaluate(track, np.array([frame]), timing.times_s, reach_s=timing.reach_s)
        return shown.boxes_xyxy[0].tolist() if len(shown.frames) else None

    def _stored(self, video: int, name: str = "detections") -> Path:
        """Where the detections or tracks of a video are kept for the next start."""
        return self._folder / f"{name}-{video}.json"

    def _appearance(self, video: int) -> Path:
        """Where the embeddings of detections are kept for the next start."""
        return self._folder / f"appearance-{video}.npz"

    def _recall(self) -> None:
        """The detections of an earlier start, by which the queue finds what lacks a label."""
        for video in range(len(self._project.paths)):
            path = self._stored(video)
            with suppress(VodkitError):  # damaged: the next prelabelling replaces it
                if path.exists() and (table := read_dataset(path).videos[0].tracks) is not None:
                    self._project.detections.setdefault(video, table)
                    if (known := self._appearance(video)).exists():
                        self._project.appearance.setdefault(video, Appearance.load(known))

    def _work(self) -> None:
        self._recall()
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                job = self._waiting.pop(0)
            try:
                words = {"prelabel": self._prelabel, "follow": self._follow, "learn": self._learn}[
                    job["do"]
                ](job)
            except VodkitError as error:
                words = f"{job['do']} failed: {error}"
            self._words = ""
            self.tell({"type": "job", "words": words, "running": False, "finished": True})

    def _say(self, words: str) -> None:
        self._words = words
        self.tell({"type": "job", "words": words, "running": True})

    def _run(self, task: dict[str, Any], words: str) -> dict[str, Any]:
        """Run the worker; its last line."""
        self._say(words)
        process = subprocess.Popen(
            [sys.executable, "-m", "vodkit.review.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        with process, suppress(BrokenPipeError):
            with suppress(OSError, AttributeError):  # Windows has no priorities of this kind
                nice = os.getpriority(os.PRIO_PROCESS, 0) + _NICE[task["do"]]
                os.setpriority(os.PRIO_PROCESS, process.pid, nice)
            process.stdin.write(json.dumps(task))
            process.stdin.close()
            last: dict[str, Any] = {}
            for line in process.stdout:
                last = json.loads(line)
                if "progress" in last:
                    self._say(f"{words}: {last['progress']}")
            complaint = process.stderr.read().strip().splitlines()
        self._process = None
        if process.returncode:
            raise InputError("stopped" if process.returncode < 0 else (complaint or ["failed"])[-1])
        return last

    def _task(self, kind: str, video: int) -> dict[str, Any]:
        return {
            "do": kind,
            "video": str(self._project.paths[video]),
            "model": self.model,
            "out": str(Path(self._scratch.name) / kind),
        }

    @property
    def model(self) -> str:
        """The adopted model: the last one learnt, or the one that was given."""
        pointer = self._folder / "adopted.txt"
        return pointer.read_text(encoding="utf-8") if pointer.exists() else self._settings.model

    def _prelabel(self, job: Mapping[str, Any]) -> str:
        video = int(job["video"])
        self._run(self._task("prelabel", video), f"prelabelling {self._project.paths[video].name}")
        folder = Path(self._scratch.name) / "prelabel"
        tracked, detected = (read_dataset(folder / f"{n}.json") for n in ("tracks", "detections"))
        tables = [one.videos[0].tracks or TrackTable.empty() for one in (tracked, detected)]
        self._project.detections[video] = tables[1]
        self._folder.mkdir(exist_ok=True)
        write_atomic(self._stored(video), (folder / "detections.json").read_bytes())
        if (made := folder / "appearance.npz").exists():
            self._project.appearance[video] = Appearance.load(made)
            write_atomic(self._appearance(video), made.read_bytes())
        with self.committing:
            words = self._put(video, Prediction(tables[1], tables[0]), tracked.classes)
        return f"{job.get('after', '')}{words}"

    def _put(self, video: int, new: Prediction, classes: tuple[str, ...]) -> str:
        """The tracks of a model into the document, in the document's classes."""
        journal, subject = self._project.journal, self._project.subjects[video]
        if not journal.document.classes:
            for word in classes if len(classes) <= 9 else _used(new.tracks, classes):
                add = {"do": "add_class", "name": word}
                journal.commit(add, id=f"class-{journal.n}", who=MODEL)
        ours = journal.document.classes
        kept = Prediction(*(_in_classes(one, classes, ours) for one in (new.found, new.tracks)))
        size = (subject.info.width_px, subject.info.height_px)
        tracks, table = relabelled(journal, video, size, kept, self._earlier(video))
        put(journal, video, tracks, who=MODEL)
        made = LabelledVideo(source="video", info=subject.info, tracks=table)
        write_dataset(Dataset(classes=ours, videos=(made,)), self._stored(video, "tracks"))
        self.tell({"type": "entry", "n": journal.n, "id": "", "who": MODEL, "do": "put",
                   "reload": [video]})  # fmt: skip
        left = len(new.tracks) - len(kept.tracks)
        note = f"; {left} boxes of other classes left out" if left else ""
        model, home = Path(self.model), self._folder.parent
        name = relative(model, home) if model.is_relative_to(home) else self.model
        return f"{self._project.paths[video].name}: {len(tracks)} tracks from {name}{note}"

    def _earlier(self, video: int) -> TrackTable:
        """The tracks of the model before, in the document's classes; empty: none are stored."""
        path = self._stored(video, "tracks")
        with suppress(VodkitError):  # damaged: the next prelabelling replaces it
            if path.exists():
                stored = read_dataset(path)
                table = stored.videos[0].tracks or TrackTable.empty()
                return _in_classes(table, stored.classes, self._project.journal.document.classes)
        return TrackTable.empty()

    def _follow(self, job: Mapping[str, Any]) -> str:
        video, number, frame = int(job["video"]), int(job["track"]), int(job["frame"])
        track = self._project.journal.document.parts.get(("track", video, number))
        box = None if track is None else self._box(video, track, frame)
        if box is None:
            return f"follow: track {number} has no box in frame {frame} any more"
        task = {**self._task("follow", video), "frame": frame, "box": box,
                "follow": self._settings.follow}  # fmt: skip
        found = self._run(task, f"following track {number}")
        if not found.get("base"):
            return f"follow: track {number} was lost at once; draw its next box"
        with self.committing:
            journal = self._project.journal
            value = {"label": 0, "base": found["base"], "keys": [], "spans": []}
            timing = journal.document.timings[video]
            smooth = to_json(from_json(value, timing.num_frames))
            action = {"do": "follow", "video": video, "track": number, "value": smooth}
            entry = journal.commit(action, id=f"follow-{journal.n}", who=MODEL)
        self.tell({"type": "entry", "n": entry.n, "id": entry.id, "who": MODEL, "do": "follow",
                   "reload": [video]})  # fmt: skip
        return f"followed track {number} up to frame {found['base'][-1][0]}: {found['why']}"

    def _learn(self, job: Mapping[str, Any]) -> str:
        del job
        self._folder.mkdir(exist_ok=True)
        number = 1 + sum(1 for _ in self._folder.glob("learn-*"))
        data = self._folder / f"accepted-{number}.json"
        root = self._project.settings.out.absolute().parent
        accepted = split_accepted(self._project.dataset(only_accepted=True), root, data.parent)
        write_dataset(accepted, data)
        task = {
            "do": "learn",
            "data": str(data),
            "model": self.model,
            "out": str(self._folder / f"learn-{number}"),
            "epochs": self._settings.epochs,
        }
        found = self._run(task, "learning from the accepted frames")
        (before, ap_before), (after, ap_after) = found["before"], found["after"]
        told = (
            f"on {found['frames']} held-back frames {before} boxes to correct before, {after} "
            f"after (AP50 {ap_before:.3f}, {ap_after:.3f})"
        )
        if after >= before:
            return f"learnt, but not adopted: {told}"
        pointer = self._folder / "adopted.txt"
        pointer.write_text(found["checkpoint"], encoding="utf-8")
        with self._wake:
            self._waiting += [
                {"do": "prelabel", "video": v, "after": f"learnt and adopted: {told}. "}
                for v in range(len(self._project.paths))
            ]
        return f"learnt and adopted: {told}; prelabelling what is not accepted"


def _in_classes(table: TrackTable, classes: tuple[str, ...], ours: tuple[str, ...]) -> TrackTable:
    """The rows whose class is one of ours, with our labels."""
    labels = {k: ours.index(word) for k, word in enumerate(classes) if word in ours}
    kept = table[np.isin(table.labels, list(labels))]
    return replace(kept, labels=np.array([labels[int(x)] for x in kept.labels], np.int64))


def _used(table: TrackTable, classes: tuple[str, ...]) -> list[str]:
    return [classes[label] for label in np.unique(table.labels[table.labels >= 0]).tolist()]


def split_accepted(dataset: Dataset, root: Path, home: Path) -> Dataset:
    """The accepted frames, every fifth stretch of about a second held back as ``val``.

    Neighbouring frames are nearly the same, so whole stretches are held back, not single frames.
    """
    videos: list[LabelledVideo] = []
    for video in dataset.videos:
        frames = video.labelled_frames
        if frames is None or not len(frames):
            continue
        source = relative(root / video.source, home)
        length = max(1, min(int(video.info.rate), len(frames) // 10))
        held = (np.arange(len(frames)) // length) % 5 == 4
        for split, chosen in (("train", frames[~held]), ("val", frames[held])):
            table = video.tracks or TrackTable.empty()
            part = table[np.isin(table.frames, chosen)]
            info = replace(video.info, path=source)
            if len(chosen):
                videos.append(replace(video, source=source, info=info, split=split, tracks=part,
                                      labelled_frames=chosen))  # fmt: skip
    return Dataset(classes=dataset.classes, videos=tuple(videos))
