"""``make dist``: build sdist and wheel, check what is in them, and use the wheel as a user would.

The wheel is installed into a fresh environment outside of the repository, where a sample clip is
tracked and diagnosed. Last, every extra is resolved (``--offline`` leaves that out).
"""

import os
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
DIST = CHECKOUT / "dist"
BIN = CHECKOUT / ".venv" / ("Scripts" if os.name == "nt" else "bin")
# In the sdist: what is needed to build, test and document; nothing that a run leaves.
IN_SDIST = {
    "src", "tests", "docs", "benchmarks", "examples", ".ci", ".github", "CHANGELOG.md",
    "CITATION.cff", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "NOTICE",
    "PKG-INFO", "README.md", "SECURITY.md", "constraints.txt", "mkdocs.yml", "pyproject.toml",
    ".gitignore",
}  # fmt: skip
JUNK = ("__pycache__", ".pyc", ".DS_Store", ".hypothesis", ".venv", ".orig", ".rej", ".swp")
MOST_MB = {"whl": 20, "gz": 30}


def main() -> None:
    """Build, check, install, run."""
    version = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    for old in DIST.glob("vodkit-*"):
        old.unlink()
    run(BIN / "uv", "build", "--quiet", "--no-build-isolation", "--python", python(BIN.parent))
    wheel, sdist = DIST / f"vodkit-{version}-py3-none-any.whl", DIST / f"vodkit-{version}.tar.gz"
    check_wheel(wheel)
    check_sdist(sdist, f"vodkit-{version}")
    use(wheel)
    if "--offline" not in sys.argv:
        resolve()
    for path in (wheel, sdist):
        print(f"{path.relative_to(CHECKOUT)}: {path.stat().st_size / 1e6:.1f} MB, checked")


def run(*words: str | Path, cwd: Path = CHECKOUT) -> str:
    """A command without the caller's PYTHONPATH; its output."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=clean,
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}: exit code {done.returncode}\n{done.stderr[-3000:]}")
    return done.stdout


def python(environment: Path) -> Path:
    """The interpreter of an environment."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def require(condition: object, message: str) -> None:
    """Leave with a message unless the condition holds."""
    if not condition:
        sys.exit(message)


def tracked(folder: str) -> set[str]:
    """The files of a folder that git knows."""
    return set(run("git", "ls-files", folder).split())


def check_wheel(path: Path) -> None:
    """All files of the package and nothing else; a description that stands alone."""
    with zipfile.ZipFile(path) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (meta,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        text = archive.read(meta).decode()
    wanted = {name.removeprefix("src/") for name in tracked("src")}
    require(names == wanted, f"{path.name}: differs from src in {sorted(names ^ wanted)[:10]}")
    description = Parser().parsestr(text).get_payload()
    require("](docs/" not in description, f"{path.name}: a link that PyPI cannot follow")
    check_size(path)


def check_sdist(path: Path, top: str) -> None:
    """Only what git knows, in the folders that a source distribution has."""
    with tarfile.open(path) as archive:
        names = [one.name.removeprefix(f"{top}/") for one in archive if one.isfile()]
    strange = sorted({name.split("/")[0] for name in names} - IN_SDIST)
    require(not strange, f"{path.name} contains {strange}")
    junk = [name for name in names if any(word in name for word in JUNK)]
    require(not junk, f"{path.name} contains {junk[:10]}")
    unknown = sorted(set(names) - tracked(".") - {"PKG-INFO"})
    require(not unknown, f"{path.name} contains files that git does not know: {unknown[:10]}")
    check_size(path)


def check_size(path: Path) -> None:
    """Within what an index and a laptop bear."""
    megabytes, most = path.stat().st_size / 1e6, MOST_MB[path.suffix[1:]]
    require(megabytes < most, f"{path.name}: {megabytes:.1f} MB; allowed: {most}")


def use(wheel: Path) -> None:
    """Install into a fresh environment and track a clip there."""
    with tempfile.TemporaryDirectory() as folder:
        away = Path(folder)
        environment = away / "venv"
        run(BIN / "uv", "venv", "--quiet", "--python", python(BIN.parent), environment)
        pinned = ("-c", CHECKOUT / "constraints.txt")
        here = ("--python", python(environment))
        run(BIN / "uv", "pip", "install", "--quiet", *here, wheel, *pinned)
        vodkit = (python(environment), "-m", "vodkit")
        where = run(python(environment), "-c", "import vodkit; print(vodkit.__file__)", cwd=away)
        require(Path(where.strip()).is_relative_to(away), f"{where} is not the wheel's")
        run(*vodkit, "demo", "--clips", ".", cwd=away)
        run(*vodkit, "track", "plaza_b.mp4", "--csv", cwd=away)
        run(*vodkit, "eval", "plaza.json", "runs/plaza_b", "--split", "test", cwd=away)
        found = run(*vodkit, "doctor", "runs/plaza_b", cwd=away)
        rows = (away / "runs/plaza_b/predictions.csv").read_text("utf-8").count("\n")
        require(rows > 700, f"the wheel tracked {rows} boxes")
        require("tracks" in found, found)


def resolve() -> None:
    """Every extra has a solution, together with all others."""
    run(BIN / "uv", "pip", "compile", "--quiet", "--all-extras", "pyproject.toml")


if __name__ == "__main__":
    main()
