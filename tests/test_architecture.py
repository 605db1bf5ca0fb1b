"""The law of the house (docs/house.md), read from the code's own imports."""

import ast
import statistics
from collections.abc import Callable
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "vodkit"
FILES = sorted(SOURCE.rglob("*.py"))

# The first prefix that fits says on which floor a file stands.
FLOORS = {
    "cli": 5,
    "__main__": 5,
    "__init__": 5,  # the public names, imported when they are first used
    "report": 4,
    "review": 4,
    "serve": 4,
    "doctor": 4,
    "demo": 4,
    "infer": 3,
    "train": 3,
    "benchmark": 3,
    "fleet": 3,
    "data": 2,
    "detect": 2,
    "track": 2,
    "metrics": 2,
    "temporal": 2,
    "video": 1,
    "formats": 1,
    "samples": 0,
    "ground": 0,
}
TRADES = {"data", "detect", "track", "metrics"}
TORCH_FILES = (
    "detect/",
    "train/",
    "temporal/",
    "data/loader",
    "data/transforms",
    "data/feature_cache",
)
FENCES = {
    "torch": TORCH_FILES,
    "torchvision": TORCH_FILES,
    "timm": ("detect/", "train/"),
    "lightning": ("train/",),
    "lightning_fabric": ("train/",),
    "openvino": ("detect/",),
    "onnxruntime": ("detect/",),
    "onnx": ("detect/",),
    "nncf": ("detect/",),
    "transformers": ("detect/",),
    "av": ("video/",),
    "matplotlib": ("report/",),
    "jinja2": ("report/",),
    "cv2": (
        "ground/process",
        "report/",
        "review/frames",
        "video/",
        "detect/",
        "data/",
        "track/camera_motion",
        "track/appearance",
    ),
    "ray": ("fleet/",),
    "fsspec": ("video/", "fleet/"),
    "hotcoco": ("metrics/",),
    "typer": ("cli/",),
    "rich": ("cli/",),
    "paho": ("serve/",),
    "starlette": ("review/", "serve/"),
    "uvicorn": ("review/", "serve/"),
}
# Files of one floor, as a whole, may use each other; these pairs of one floor may not.
JUNK_NAMES = {"utils", "util", "misc", "helpers", "common", "core", "engine", "manager"}


def _name(path: Path) -> str:
    return str(path.relative_to(SOURCE).with_suffix("")).replace("\\", "/")


def _part(path: Path) -> str:
    return _name(path).split("/")[0]


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _imports(path: Path) -> frozenset[str]:
    found: set[str] = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


@cache
def _inside(path: Path) -> set[str]:
    """The vodkit files that a file imports, as names like ``video/reader``."""
    found = set()
    for name in _imports(path):
        parts = name.split(".")
        if parts[0] != "vodkit":
            continue
        for length in range(len(parts), 1, -1):
            candidate = SOURCE.joinpath(*parts[1:length])
            if candidate.with_suffix(".py").is_file():
                found.add("/".join(parts[1:length]))
                break
            if (candidate / "__init__.py").is_file():
                found.add("/".join([*parts[1:length], "__init__"]))
                break
    return found - {_name(path)}


def for_each_file(check: Callable[[Path], None]) -> Callable[[], None]:
    """One test that lists every file at fault: thousands of tests take seconds to collect."""

    def over_all() -> None:
        faults = []
        for path in FILES:
            try:
                check(path)
            except AssertionError as error:
                faults.append(f"{_name(path)}: {str(error).splitlines()[0]}")
        assert not faults, "\n" + "\n".join(faults)

    over_all.__name__, over_all.__doc__ = check.__name__, check.__doc__
    return over_all


@for_each_file
def test_imports_go_straight_down(path: Path) -> None:
    part = _part(path)
    assert part in FLOORS, f"{part} stands on no floor: add it to docs/house.md and here"
    for target in _inside(path):
        other = target.split("/")[0]
        if other == "__init__":
            continue
        assert FLOORS[other] <= FLOORS[part], f"{_name(path)} imports upwards: {target}"
        both_trades = part in TRADES and other in TRADES and part != other
        assert not both_trades, f"trade {part} imports trade {other}: {_name(path)} -> {target}"
        edges = {part, other} == {"video", "formats"}
        assert not edges or part == "video" or other != "video", f"{_name(path)} -> {target}"


@for_each_file
def test_third_party_libraries_stay_behind_their_fences(path: Path) -> None:
    for name in _imports(path):
        library = name.split(".")[0]
        if library in FENCES:
            allowed = any(_name(path).startswith(prefix) for prefix in FENCES[library])
            assert allowed, f"{_name(path)} imports {library}; allowed in {FENCES[library]}"


def test_no_import_circles() -> None:
    graph = {_name(path): _inside(path) for path in FILES}
    done: set[str] = set()

    def visit(node: str, trail: tuple[str, ...]) -> None:
        assert node not in trail, f"import circle: {' -> '.join([*trail, node])}"
        if node in done:
            return
        for other in graph.get(node, set()):
            visit(other, (*trail, node))
        done.add(node)

    for node in graph:
        visit(node, ())


@for_each_file
def test_no_junk_rooms_and_no_prints(path: Path) -> None:
    assert not JUNK_NAMES & set(_name(path).split("/")), "name the thing that is in it"
    assert ast.get_docstring(_tree(path)), "say what is in here"
    if _part(path) != "cli":
        calls = [
            node
            for node in ast.walk(_tree(path))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        ]
        assert not [call for call in calls if call.func.id == "print"], "print only in cli/"


@for_each_file
def test_class_trees_are_flat(path: Path) -> None:
    """One base at most: a Protocol, an enum, torch's Module, or an error of our tree."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.ClassDef):
            assert len(node.bases) <= 1, f"{_name(path)}: class {node.name} has several bases"


def _function_lengths() -> dict[str, int]:
    lengths = {}
    for path in FILES:
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.FunctionDef):
                lines = (node.end_lineno or 0) - node.body[0].lineno + 1
                docstring = ast.get_docstring(node, clean=False)
                lines -= 0 if docstring is None else docstring.count("\n") + 1
                lengths[f"{_name(path)}:{node.name}:{node.lineno}"] = lines
    return lengths


def test_functions_fit_in_the_head() -> None:
    lengths = _function_lengths()
    too_long = {name: n for name, n in lengths.items() if n > 80}
    assert not too_long, f"functions over 80 lines: {too_long}"
    ordered = sorted(lengths.values())
    assert statistics.median(ordered) <= 10
    assert ordered[int(0.9 * len(ordered))] <= 35


def test_files_fit_in_the_head() -> None:
    lines = {_name(path): path.read_text(encoding="utf-8").count("\n") for path in FILES}
    too_long = {name: count for name, count in lines.items() if count > 500}
    assert not too_long, f"files over 500 lines: {too_long}"


def test_every_command_is_short() -> None:
    for path in (SOURCE / "cli").glob("*.py"):
        code = [
            line
            for line in path.read_text(encoding="utf-8").splitlines()
            if line.strip() and not line.strip().startswith("#")
        ]
        assert len(code) <= 150, f"{path.name}: the door knows all and does nothing"
