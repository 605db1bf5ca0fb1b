"""Films read sparsely, and sets of still pictures: how alike neighbours are, beside the limit.

    python benchmarks/film_or_stills.py ../shared/data

One JSON line a source: the median correlation of neighbours (``video.picture_folders.likeness``)
with 1, 5, 15 and 60 s between them; of still pictures, in the order of their names. The limit was
chosen on films at their own rate and once a second, and on the two sets of still pictures.
"""

import argparse
import json
import tempfile
from pathlib import Path

import cv2

from vodkit.ground.errors import VodkitError
from vodkit.video.picture_folders import ALIKE, likeness
from vodkit.video.pictures import pictures_in
from vodkit.video.reader import open_video

STEPS_S = (1, 5, 15, 60)
LEAST = 4  # pictures; a median of fewer pairs says little
FILMS = (
    "videos/*/*.mp4", "videos/*/*.mkv", "videos/*/*.avi", "videos/*/*.mov", "videos/*/*.webm",
    "sequences/flies/*.mp4", "sequences/pets09_s2l1/*.avi",
)  # fmt: skip


def sparse(path: Path) -> dict[str, float]:
    """Likeness by the seconds between pictures, of those that leave enough pictures."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, open_video(path, strict=False) as video:
        scale = 320 / max(video.info.width_px, video.info.height_px)
        size = (round(video.info.width_px * scale), round(video.info.height_px * scale))
        every = max(round(float(video.info.rate)), 1)
        paths = []
        for frame in video.frames(every=every, size_px=size):
            paths.append(Path(folder) / f"{frame.index:06d}.png")
            cv2.imwrite(str(paths[-1]), frame.image[..., ::-1])
        for step_s in STEPS_S:
            if len(paths[::step_s]) >= LEAST:
                seen = likeness(paths[::step_s])
                found |= {} if seen is None else {f"{step_s} s": round(seen, 2)}
    return found


def main() -> None:
    """Films, then folders of still pictures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--stills", type=Path, nargs="*", default=[], help="more folders of them")
    given = parser.parse_args()
    for path in sorted({path for pattern in FILMS for path in given.data.glob(pattern)}):
        try:
            line = sparse(path)
        except VodkitError:
            continue
        if line:
            print(json.dumps({"film": path.name, **line, "limit": ALIKE}), flush=True)
    for folder in [*sorted(given.data.glob("images/*")), *given.stills]:
        names = sorted({path.parent for path in folder.rglob("*.[jp][pn]g")})
        for place in names:
            print(json.dumps({"stills": str(place.relative_to(folder.parent)),
                              "pictures": len(pictures_in(place)),
                              "neighbours": likeness(pictures_in(place))}), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
