"""A folder here or in a bucket, as one thing, with every failure as one clear error.

A path without a scheme is a local folder, and results are written straight into it. Of a URL
(``s3://``, ``memory://``, ``file://``, ...) only whole files are written: each appears at once, or
not at all.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import Any

from vodkit.ground.errors import OutputError, StorageError, VodkitError
from vodkit.ground.paths import put_in_place
from vodkit.ground.runs import make_folder, part_beside

_EXCLUSIVE = ("memory", "s3", "gs")
"""protocols of which fsspec can create a file only where none exists, in one step"""
_NO_CREDENTIALS = ("NoCredentials", "CredentialRetrieval", "DefaultCredentials", "TokenRetrieval")
_NO_ANSWER = ("Timeout", "Connect", "Endpoint", "Disconnect", "Throttl", "SlowDown", "Unavailable")


def is_url(text: str) -> bool:
    """Whether this is a URL and not a path."""
    return "://" in text


@contextmanager
def speaking_of(url: str) -> Iterator[None]:
    """Within, whatever a file system raises is a StorageError; FileNotFoundError stays."""
    try:
        yield
    except (VodkitError, FileNotFoundError, FileExistsError):
        raise
    except Exception as error:
        message, is_transient = _words(error)
        raise StorageError(message, url=url, is_transient=is_transient) from error


def _words(error: Exception) -> tuple[str, bool]:
    """What happened in words, and whether it may be over later."""
    names = " ".join(kind.__name__ for kind in type(error).__mro__)
    what = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, ImportError):
        scheme = what.lower().removeprefix("please ").partition(" ")
        package = scheme[2].partition(" ")[0] if scheme[0] == "install" else ""
        hint = f"pip install {package}" if package else "install the package that it names"
        return f"its file system is not installed ({what}); {hint}", False
    if isinstance(error, ValueError) and "not known" in what:
        return f"{what}; allowed: a path, or a URL that fsspec knows (s3://, gs://, file://)", False
    if any(sign in names for sign in _NO_CREDENTIALS):
        return f"no credentials ({what}); set them as its command-line tool expects", False
    if isinstance(error, PermissionError):
        return f"access is refused ({what}); check the credentials and their rights", False
    if is_passing(error):
        return f"does not answer ({what}); check the network and the address", True
    return f"cannot be used: {what}", isinstance(error, OSError)


def is_passing(error: BaseException) -> bool:
    """Whether an error of the network or a disk may be over later.

    >>> is_passing(TimeoutError()), is_passing(FileNotFoundError()), is_passing(ValueError())
    (True, False, False)
    """
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
        return False
    names = " ".join(kind.__name__ for kind in type(error).__mro__)
    return isinstance(error, OSError) or any(sign in names for sign in _NO_ANSWER)


class Place:
    """A folder: local, or below a URL."""

    def __init__(self, url: str) -> None:
        """Name it; nothing is made or read."""
        self.url = url.rstrip("/") or "/"
        self.is_remote = is_url(url)

    def __str__(self) -> str:
        """As the user named it."""
        return self.url

    @cached_property
    def _store(self) -> tuple[Any, str]:
        """The file system and the path in it."""
        import fsspec

        with speaking_of(self.url):
            found: tuple[Any, str] = fsspec.url_to_fs(self.url)
        return found

    @cached_property
    def folder(self) -> Path | None:
        """Where it lies on this machine; None: elsewhere."""
        if not self.is_remote:
            return Path(self.url)
        system, path = self._store
        return Path(path) if "file" in _protocols(system) else None

    @property
    def creates(self) -> bool:
        """Whether a file can be created by one of several processes only."""
        if self.folder is not None:
            return True
        system = self._store[0]
        known = any(name in _EXCLUSIVE for name in _protocols(system))
        # Older versions ignore the mode, and would let two create the same file.
        how = getattr(system, "_pipe_file", system.pipe_file)
        return known and "mode" in signature(how).parameters

    def read(self, name: str) -> bytes | None:
        """The content of a file; None where there is none."""
        return self.read_all([name]).get(name)

    def read_all(self, names: Sequence[str]) -> dict[str, bytes]:
        """The contents of the files that exist, many at once."""
        if self.folder is not None:
            found: dict[str, bytes] = {}
            for name in names:
                with suppress(FileNotFoundError, NotADirectoryError), self._speaking():
                    found[name] = (self.folder / name).read_bytes()
            return found
        system, root = self._store
        paths = {f"{root}/{name}": name for name in names}
        with self._speaking():
            system.invalidate_cache()
            got = system.cat(list(paths), on_error="return") if paths else {}
        found = {}
        for path, content in got.items():
            if isinstance(content, bytes):
                found[paths[path]] = content
            elif not isinstance(content, FileNotFoundError):
                with self._speaking():
                    raise content
        return found

    def write(self, name: str, content: bytes) -> None:
        """Write a file so that it holds the old content or the new, never a part."""
        if self.folder is not None:
            with self._writing(self.folder / name) as part:
                part.write_bytes(content)
            return
        system, root = self._store
        with self._storing():
            system.pipe_file(f"{root}/{name}", content)

    def create(self, name: str, content: bytes) -> bool:
        """Write a file that does not exist; False: it does. Of several processes one succeeds."""
        if self.folder is not None:
            return _link(self.folder / name, content)
        system, root = self._store
        try:
            with self._storing():
                system.pipe_file(f"{root}/{name}", content, mode="create")
        except FileExistsError:
            return False
        return True

    def delete(self, *names: str) -> None:
        """Delete files; those that do not exist are deleted already."""
        for name in names:
            with suppress(FileNotFoundError), self._speaking():
                if self.folder is not None:
                    (self.folder / name).unlink()
                else:
                    system, root = self._store
                    system.rm_file(f"{root}/{name}")

    def names(self, pattern: str) -> list[str]:
        """Files that match, as ``*/manifest.json``, sorted; hidden ones are left out."""
        if self.folder is not None:
            found = [path.relative_to(self.folder) for path in self.folder.glob(pattern)]
            return sorted(one.as_posix() for one in found if not one.name.startswith("."))
        system, root = self._store
        with suppress(FileNotFoundError), self._speaking():
            system.invalidate_cache()
            inside = root.rstrip("/") + "/"
            return sorted(
                one.removeprefix(inside) for one in _strictly(system.glob, inside + pattern)
            )
        return []

    def upload(self, folder: Path, name: str, *, last: str) -> None:
        """Copy the files of a local folder into the folder ``name`` here, ``last`` after others."""
        found = sorted(path.name for path in folder.iterdir() if path.is_file())
        for file in [*(one for one in found if one[0] != "." and one != last), last]:
            if self.folder is not None:
                with self._writing(self.folder / name / file) as part:
                    shutil.copyfile(folder / file, part)
            else:
                system, root = self._store
                with self._storing():
                    system.put_file(str(folder / file), f"{root}/{name}/{file}")

    def download(self, name: str, folder: Path, files: Sequence[str]) -> None:
        """Copy those files of the folder ``name`` here that exist into a local folder."""
        there = {*self.names(f"{name}/*")} & {f"{name}/{file}" for file in files}
        for path in sorted(there):
            content = self.read(path)
            if content is not None:
                (folder / Path(path).name).write_bytes(content)

    def make(self) -> None:
        """Make sure that the place exists and answers; StorageError or OutputError if not."""
        if self.folder is not None:
            make_folder(self.folder)
        else:
            self.read("fleet.json")

    @contextmanager
    def _writing(self, path: Path) -> Iterator[Path]:
        """A hidden file beside ``path`` to fill, which then takes its name."""
        make_folder(path.parent)
        part = part_beside(path)
        try:
            yield part
            put_in_place(part, path)
        except OSError as error:
            raise OutputError(f"cannot write: {error.strerror}", path=path) from error
        finally:
            part.unlink(missing_ok=True)

    @contextmanager
    def _storing(self) -> Iterator[None]:
        """Within, a file is written; StorageError also where its bucket does not exist."""
        try:
            with self._speaking():
                yield
        except FileNotFoundError as error:
            message = f"does not exist ({' '.join(str(error).split())}); make the bucket first"
            raise StorageError(message, url=self.url) from error

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        with speaking_of(self.url):
            yield


def _strictly(look: Callable[..., Any], path: str, **how: Any) -> Any:
    """What ``glob`` or ``find`` of a file system gives, an error included.

    By default fsspec leaves out folders that cannot be listed, and a bucket that is away seems
    empty. Systems with a search of their own, as s3fs, raise, and may not know the option.
    """
    try:
        return look(path, **how, on_error="raise")
    except TypeError as error:
        if "on_error" not in str(error):
            raise
    return look(path, **how)


def _protocols(system: Any) -> tuple[str, ...]:
    names = system.protocol
    return (names,) if isinstance(names, str) else tuple(names)


def _link(path: Path, content: bytes) -> bool:
    """Create a file with all of its content at once: a link to it fails where one exists.

    So is it on network disks, too. Disks without links get ``O_EXCL``.
    """
    make_folder(path.parent)
    part = part_beside(path)
    try:
        part.write_bytes(content)
        try:
            os.link(part, path)
        except FileExistsError:
            return False
        except OSError:
            with path.open("xb") as file:
                file.write(content)
    except FileExistsError:
        return False
    except OSError as error:
        raise OutputError(f"cannot write: {error.strerror}", path=path) from error
    finally:
        part.unlink(missing_ok=True)
    return True


def as_url(system: Any, path: str) -> str:
    """The URL of a path in a file system.

    >>> import fsspec
    >>> as_url(fsspec.filesystem("memory"), "/a/b.mp4")
    'memory://a/b.mp4'
    """
    url: str = system.unstrip_protocol(path)
    return url.replace("memory:///", "memory://", 1)


def listing(url: str) -> tuple[Any, Mapping[str, Mapping[str, Any]]]:
    """The file system of a URL, and the files that it means, by path: itself, or those that match.

    Raises:
        StorageError: it does not answer, lacks credentials, or no file system is installed for it.
    """
    import fsspec

    with speaking_of(url):
        system, path = fsspec.url_to_fs(url)
        system.invalidate_cache()
        try:
            if set("*?[") & set(path):
                found = _strictly(system.glob, path, detail=True)
            elif system.isdir(path):
                found = _strictly(system.find, path, detail=True)
            else:
                found = {path: system.info(path)}
        except FileNotFoundError:
            found = {}
    return system, {place: about for place, about in found.items() if about["type"] == "file"}
