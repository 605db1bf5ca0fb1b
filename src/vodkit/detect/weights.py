"""Weight files: where they lie, fetching those that are published, reading them without risk.

Fetched files lie in the cache folder (``VODKIT_CACHE``, else the user's own). A file takes its
name there only when it is whole and its sha256 is right; a broken transfer is taken up again
where it stopped.
"""

import hashlib
import os
import stat
import struct
import sys
import tempfile
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from pickle import UnpicklingError  # only to catch it
from typing import TYPE_CHECKING, Any

from vodkit.detect.base import ModelCard, is_plain_name
from vodkit.detect.finite import refuse_not_finite
from vodkit.detect.onnx_files import external_files
from vodkit.ground.errors import OutputError, WeightsError
from vodkit.ground.paths import put_in_place
from vodkit.ground.runs import make_folder, sha256, write_atomic

if TYPE_CHECKING:
    from torch import Tensor

HUB_NAMES = ("model.safetensors", "pytorch_model.bin")
"""what the Hugging Face hub calls weight files"""
_PACKAGED = Path(__file__).parent / "street"
_TRIES = 3
_TIMEOUT_S = 30.0
_CHUNK = 1 << 20
Progress = Callable[[int, int], None]  # bytes here, bytes in all (0: not known)


def cache_folder() -> Path:
    """Where fetched and converted files are kept: ``VODKIT_CACHE``, else the user's cache.

    Raises:
        OutputError: another user owns the folder, or may write into it.
    """
    folder = _cache_folder()
    require_own(folder)
    return folder


def require_own(folder: Path) -> None:
    """OutputError for a folder whose files others could replace: graphs may run code."""
    if not hasattr(os, "geteuid"):  # Windows: profiles are private
        return
    try:
        about = folder.stat()
    except OSError:
        return
    own_group = about.st_gid == os.getegid()
    others = stat.S_IWOTH | (0 if own_group else stat.S_IWGRP)
    if about.st_uid not in (os.geteuid(), 0) or about.st_mode & others:
        message = "the cache belongs to another user, or others may write into it"
        raise OutputError(f"{message}; chmod go-w, or set VODKIT_CACHE", path=folder)


def _cache_folder() -> Path:
    if os.environ.get("VODKIT_CACHE"):
        return Path(os.environ["VODKIT_CACHE"])
    home = _home()
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "vodkit"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", str(home))) / "vodkit"
    return Path(os.environ.get("XDG_CACHE_HOME", str(home / ".cache"))) / "vodkit"


def _home() -> Path:
    """The user's home; of a user without one (``docker run -u``) a folder for temporary files."""
    try:
        home = Path.home()
    except RuntimeError:
        home = Path("/")
    if home == Path("/") or not home.is_dir():
        user = os.getuid() if hasattr(os, "getuid") else 0
        home = Path(tempfile.gettempdir()) / f"vodkit-{user}"
        require_own(home)
    return home


def weights_path(card: ModelCard) -> Path:
    """Where the weight file of a model lies, or would lie: in the package, or in the cache."""
    if not card.url:
        return _PACKAGED / f"{card.name}.safetensors"
    name = card.url.rpartition("/")[2]
    if not is_plain_name(name) or name in HUB_NAMES:  # every model's file has this name there
        name = card.name + Path(name).suffix
    return cache_folder() / "weights" / name


def fetch(card: ModelCard, *, progress: Progress | None = None) -> Path:
    """The weight file of the card, fetched if it is not here yet; checked either way.

    Raises WeightsError that names the file and where to put it when it cannot be fetched, and
    when its sha256 is not the card's.
    """
    path = weights_path(card)
    if not path.is_file():
        if not card.url:
            raise WeightsError(f"{path} is missing: the package is damaged, install it again")
        make_folder(path.parent)
        _download(card.url, card.sha256, path, progress, card.name)
    check(path, card)
    return path


def fetch_folder(
    name: str, url: str, *, required: Sequence[str], optional: Sequence[str] = ()
) -> Path:
    """The folder of a model that consists of several files, fetched if they are not here yet.

    Args:
        name: of the model, and of its folder in the cache.
        url: folder of the files, ending in ``/``.
        required: names of files; WeightsError where one cannot be had.
        optional: names of files that are taken where they exist (a server answers 404 else).
    """
    folder = cache_folder() / "weights" / name
    if not all((folder / one).is_file() for one in required):
        make_folder(folder)
        try:
            for one in (*optional, *required):
                _fetch_part(f"{url}{one}", folder / one, name, must=one in required)
        except WeightsError as error:
            others = ", ".join((*required, *optional))
            message = f"{error}; its folder needs, of the same place, {others}"
            raise WeightsError(f"{message} (tokenizers have some of the last)") from error
    for one in required:
        _check_noted(folder / one)
    return folder


def _fetch_part(url: str, path: Path, name: str, *, must: bool) -> None:
    if path.is_file():
        return
    try:
        _download(url, "", path, None, name)
    except WeightsError as error:
        missing = isinstance(error.__cause__, urllib.error.HTTPError) and (
            error.__cause__.code == HTTPStatus.NOT_FOUND
        )
        if must or not missing:
            raise


def _check_noted(path: Path) -> None:
    """WeightsError unless a fetched file has the sha256 that it came with."""
    noted = path.with_name(path.name + ".sha256")
    if noted.is_file() and digest(path) != noted.read_text(encoding="utf-8").strip():
        message = f"{path}: corrupt: its sha256 is not that of the file that was fetched"
        raise WeightsError(f"{message}; delete it to fetch it again")


def check(path: Path, card: ModelCard) -> None:
    """WeightsError unless the file's sha256 begins as the card says.

    Some publishers give no digest; then what was fetched first is what is expected later.
    """
    expected = card.sha256
    noted = path.with_name(path.name + ".sha256")
    if not expected and noted.is_file():
        expected = noted.read_text(encoding="utf-8").strip()
    seen = digest(path)
    if not seen.startswith(expected):
        hint = "delete it to fetch it again" if card.url else "put the right file there"
        hint = "install the package again" if path.parent == _PACKAGED else hint
        wanted = f"sha256 begins {seen[:12]}, allowed: {expected[:12]}"
        raise WeightsError(f"{path}: corrupt, or other weights: {wanted}; {hint}")


def parts(path: Path) -> list[Path]:
    """The files that a weight file or graph consists of.

    OpenVINO's ``.xml`` has a ``.bin``; an ``.onnx`` may take tensors from files beside it.
    WeightsError when one of them is missing.
    """
    if path.suffix == ".onnx":
        return [path, *external_files(path)]
    if path.suffix != ".xml":
        return [path]
    beside = path.with_suffix(".bin")
    if not beside.is_file():
        raise WeightsError(f"{path}: its weights, {beside.name}, are missing from its folder")
    return [path, beside]


def digest(path: Path) -> str:
    """The sha256 of a weight file; of a graph in several, that of all digests together."""
    digests = [sha256(part) for part in parts(path)]
    return (
        digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    )


def trust(path: Path) -> str:
    """Remember that this ``.pt2`` archive may be read, by its sha256, which is given back.

    Reading such an archive can run code that is in it (torch unpickles). Exporting on this
    machine trusts what was written; for a file from elsewhere a person has to decide.
    """
    seen, known = digest(path), _trusted_list()
    make_folder(known.parent)
    lines = _trusted()
    if seen not in lines:
        write_atomic(known, "".join(f"{line}\n" for line in [*lines, seen]), ours=True)
    return seen


def require_trust(path: Path) -> None:
    """WeightsError unless the archive was exported here, or trusted by name."""
    if digest(path) not in _trusted():
        raise WeightsError(
            f"{path}: reading a .pt2 archive can run code that is in it, and this one was not"
            " exported here; use its .onnx or .xml, or, if you trust who made it:"
            f" vodkit models --trust {path}"
        )


def _trusted_list() -> Path:
    return cache_folder() / "trusted-archives.txt"


def _trusted() -> list[str]:
    try:
        return _trusted_list().read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        return []


def read_state(path: Path) -> dict[str, "Tensor"]:
    """The tensors in a ``.safetensors``, ``.pth`` or ``.pt`` file, on the CPU. No code is run.

    Official checkpoints that hold the weights under ``model`` or ``state_dict`` are understood.
    """
    if not path.is_file():
        raise WeightsError(f"{path} is missing")
    state = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    for name in ("model", "state_dict"):
        if isinstance(state.get(name), Mapping):
            state = dict(state[name])
    strange = [name for name, value in state.items() if not hasattr(value, "shape")]
    if strange or not state:
        raise WeightsError(f"{path}: no state dict; {strange[:3]} are no tensors")
    refuse_not_finite(not_finite(state), path)
    return state


def not_finite(state: Mapping[str, "Tensor"]) -> Iterator[str]:
    """Names of tensors with NaN or infinite values."""
    import torch

    for name, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            yield name


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:  # read, not mapped: on Windows a mapped file can be neither replaced nor deleted
        return load(path.read_bytes())
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: cannot read the weights: {error}") from error


# What the interpreter of a broken (or hostile) archive of weights is known to raise.
UNREADABLE = (
    UnpicklingError, RuntimeError, EOFError, ValueError, OSError, LookupError, TypeError,
    AttributeError, AssertionError, ArithmeticError, MemoryError, struct.error,
)  # fmt: skip


def _read_torch(path: Path) -> dict[str, Any]:
    return read_archive(path, fault="not a file of weights alone", allowed="a state dict")


def read_archive(path: Path, *, fault: str, allowed: str) -> dict[str, Any]:
    """What ``torch.save`` wrote, if it is a mapping of tensors and plain values.

    WeightsError says ``fault`` where it cannot be read, and ``allowed`` where it is another thing.
    """
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that will be refused anyway
            content = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(f"{path}: {fault}: {reason}") from error
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path}: holds a {type(content).__name__}; allowed: {allowed}")
    return dict(content)


def _download(url: str, expected: str, path: Path, progress: Progress | None, name: str) -> None:
    """Fetch to ``path``; what is missing after a broken transfer is asked for again."""
    part = path.with_name(path.name + ".part")
    reason = ""
    for _ in range(_TRIES):
        try:
            if _transfer(url, part, progress):
                break
            reason = f"the connection ended after {part.stat().st_size} bytes"
        except urllib.error.HTTPError as error:
            reason = f"HTTP {error.code} {error.reason}"
            error.close()
            if error.code < 500:
                raise _not_here(name, url, path, reason) from error
        except (OSError, HTTPException) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
    else:
        raise _not_here(name, url, path, reason)
    seen = sha256(part)
    if not seen.startswith(expected):
        part.unlink()
        wanted = f"sha256 begins {seen[:12]}, allowed: {expected[:12]}"
        raise WeightsError(f"{url}: what came is not the file of the card: {wanted}")
    write_atomic(path.with_name(path.name + ".sha256"), seen + "\n", ours=True)
    put_in_place(part, path)


def _transfer(url: str, part: Path, progress: Progress | None) -> bool:
    """Add to ``part`` what is missing; whether it is whole now."""
    if not url.startswith(("https://", "http://127.0.0.1:")):
        raise WeightsError(f"{url}: allowed: https")
    have = part.stat().st_size if part.is_file() else 0
    headers = {"User-Agent": "vodkit", **({"Range": f"bytes={have}-"} if have else {})}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310
    try:
        response: HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT_S)  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code != 416:  # asked for bytes beyond the end: what is here is not of that file
            raise
        error.close()
        part.unlink()
        return False
    with response:
        goes_on = response.status == 206
        have = have if goes_on else 0
        total = have + int(response.headers.get("Content-Length") or 0)
        with part.open("ab" if goes_on else "wb") as file:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                have += len(chunk)
                if progress is not None:
                    progress(have, total)
    return have >= total


def _not_here(name: str, url: str, path: Path, reason: str) -> WeightsError:
    return WeightsError(
        f"the weights of {name} are missing and cannot be downloaded ({reason}); "
        f"download {url} and save it as {path}"
    )
