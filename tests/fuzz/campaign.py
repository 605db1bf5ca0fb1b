"""Run the fuzz targets under atheris (coverage-guided), each in its own process.

    python tests/fuzz/campaign.py --minutes 5                 # every target for five minutes
    python tests/fuzz/campaign.py --minutes 60 video-mp4 card

Minutes are of processor time, so that a busy machine shortens nothing. One JSON line a target:
processor seconds, executions, findings. The input of a finding is kept in
``tests/fuzz/found/<target>/`` and from then on is a test. ``atheris`` is not among the
development dependencies: ``pip install atheris``.
"""

import argparse
import hashlib
import json
import math
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
SLOWEST_INPUT_S = 20
MOST_MEMORY_MB = 3000


def child(name: str, folder: Path, seconds: int) -> None:
    """Fuzz one target in this process; libFuzzer ends the process itself."""
    import atheris

    with atheris.instrument_imports(include=["vodkit"]):
        from fuzz_targets import TARGETS

    corpus = folder / "corpus"
    corpus.mkdir(exist_ok=True)
    for number, seed in enumerate(TARGETS[name].seeds()):
        (corpus / f"seed{number}").write_bytes(seed)
    longest = max((file.stat().st_size for file in corpus.iterdir()), default=4096) + 256
    words = [
        sys.argv[0], str(corpus), f"-artifact_prefix={folder}/", f"-max_total_time={seconds}",
        f"-timeout={SLOWEST_INPUT_S}", f"-rss_limit_mb={MOST_MEMORY_MB}", f"-max_len={longest}",
        "-print_final_stats=1",
    ]  # fmt: skip
    atheris.Setup(words, TARGETS[name].run)
    atheris.Fuzz()


def campaign(name: str, seconds: int) -> dict[str, object]:
    """Fuzz one target until its processor time is used, beginning anew after each finding."""
    begin = processor_s()
    with tempfile.TemporaryDirectory() as folder:
        executions, findings = repeated(name, Path(folder), seconds)
    return {
        "target": name,
        "processor_s": round(processor_s() - begin),
        "executions": executions,
        "findings": findings,
    }


def repeated(name: str, folder: Path, seconds: int) -> tuple[int, list[dict[str, str]]]:
    """How many executions there were, and what was found."""
    (folder / "scratch").mkdir()
    begin, executions, findings = processor_s(), 0, []
    while (left := seconds - (processor_s() - begin)) > 1:
        words = [sys.executable, __file__, "--child", name, str(folder), str(math.ceil(left))]
        scratch = {**os.environ, "TMPDIR": str(folder / "scratch")}
        done = subprocess.run(
            words, capture_output=True, text=True, errors="replace", check=False, env=scratch
        )
        counted = re.search(r"number_of_executed_units: (\d+)", done.stderr)
        executions += int(counted[1]) if counted else 0
        new = [x for x in folder.iterdir() if x.is_file()]
        findings += [keep(name, file, done.stdout + done.stderr) for file in new]
        if done.returncode == -signal.SIGALRM:  # libFuzzer's own clock, at its begin or end
            continue
        if done.returncode and not new:
            raise SystemExit(f"{done.stderr[-4000:]}{name} ended with {done.returncode}")
    return executions, findings


def processor_s() -> float:
    """Seconds of processor time of all children that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def keep(name: str, file: Path, said: str) -> dict[str, str]:
    """Move the input of a finding to where the tests see it."""
    content = file.read_bytes()
    target = HERE / "found" / name / hashlib.sha256(content).hexdigest()[:12]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    file.unlink()
    told = re.findall(r"^(?:\w+Error|\w+Exception|==\d+== ?ERROR|.*SUMMARY).*$", said, re.MULTILINE)
    return {"input": str(target.relative_to(HERE)), "kind": file.name.partition("-")[0],
            "said": " | ".join(told[:3])}  # fmt: skip


def main() -> None:
    """Parse the words; every target after the other."""
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
        return
    from fuzz_targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("targets", nargs="*", default=list(TARGETS))
    parser.add_argument("--minutes", type=float, default=1)
    chosen = parser.parse_args()
    for name in chosen.targets:
        print(json.dumps(campaign(name, int(60 * chosen.minutes))), flush=True)


if __name__ == "__main__":
    main()
