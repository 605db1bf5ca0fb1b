"""Runs commands of vodkit in forked children, each with a terminal of its own as stdin, out, err.

Libraries are imported once, here, and no threads are begun before a fork. A request on the socket
is a line of JSON with the terminal's descriptor attached; the answers are the child's process id,
and its exit code once it has ended.
"""

import fcntl
import gc
import importlib
import io
import json
import os
import pkgutil
import signal
import socket
import sys
import termios
import warnings
from contextlib import redirect_stdout, suppress
from typing import Any


def serve(place: int) -> None:
    """Answer requests until the other side closes the socket."""
    with socket.socket(fileno=place) as line:
        while True:
            words, descriptors, _, _ = socket.recv_fds(line, 1 << 16, 1)
            if not words:
                return
            request = json.loads(words)
            with warnings.catch_warnings():  # Python 3.12 and newer warn: libraries have threads
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
            if pid == 0:
                line.close()
                _become(request, descriptors[0])
            os.close(descriptors[0])
            line.sendall(json.dumps({"pid": pid}).encode() + b"\n")
            _, status = os.waitpid(pid, 0)
            code = os.waitstatus_to_exitcode(status)
            line.sendall(json.dumps({"code": code}).encode() + b"\n")


def _become(request: dict[str, Any], terminal: int) -> None:
    """Be the command that is asked for, and end with its exit code."""
    code: Any = 1
    try:
        os.setsid()
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
        for descriptor in (0, 1, 2):
            os.dup2(terminal, descriptor)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["folder"])
        signal.signal(signal.SIGINT, signal.default_int_handler)
        # As Python makes them in this locale.
        encoding = request["encoding"]
        errors = "strict" if encoding == "utf-8" else "surrogateescape"
        sys.stdin = _stream(0, "r", encoding, errors)
        sys.stdout = sys.__stdout__ = _stream(1, "w", encoding, errors)
        sys.stderr = sys.__stderr__ = _stream(2, "w", encoding, "backslashreplace")
        code = _run(request["words"])
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code if isinstance(code, int) else 1)


def _stream(descriptor: int, mode: str, encoding: str, errors: str) -> io.TextIOWrapper:
    raw = open(descriptor, mode + "b", closefd=False)  # noqa: SIM115
    return io.TextIOWrapper(raw, encoding=encoding, errors=errors, line_buffering=mode == "w")


def _run(words: list[str]) -> Any:
    from vodkit.cli.main import main

    sys.argv = ["vodkit", *words]
    try:
        main()
    except SystemExit as left:
        return left.code
    except BaseException:  # noqa: BLE001
        import traceback

        traceback.print_exc()
    return 1


def _prepare() -> None:
    """Import what is slow to import, and begin no threads."""
    from vodkit.ground import process

    process.let_waiting_threads_sleep()
    import cv2
    import matplotlib.figure
    import openvino
    import timm
    import torch
    import torchvision

    import vodkit

    for found in pkgutil.walk_packages(vodkit.__path__, "vodkit."):
        if "__main__" not in found.name:
            with suppress(ImportError):  # of an extra that is not installed
                importlib.import_module(found.name)
    _parse_once()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    del matplotlib, openvino, timm, torchvision
    gc.freeze()


def _parse_once() -> None:
    """The parser has libraries of its own that it imports late."""
    from vodkit.cli.main import main

    with suppress(SystemExit), redirect_stdout(io.StringIO()):
        main(["track", "--help"])


if __name__ == "__main__":
    _prepare()
    try:
        serve(int(sys.argv[1]))
    finally:
        os._exit(0)  # nothing to clean up, and libraries complain at exit
