"""A local S3 server for tests: the real s3fs speaks to it over HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import Request, urlopen

import fsspec
import pytest


@contextmanager
def s3_server() -> Iterator[str]:
    """Within, s3fs reaches a server on this machine; its address."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    s3fs = pytest.importorskip("s3fs")
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        url = f"http://{host}:{port}"
        patch.setenv("AWS_ENDPOINT_URL", url)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        s3fs.S3FileSystem.clear_instance_cache()
        # moto keeps its buckets for the process: an earlier test's are still there.
        urlopen(Request(f"{url}/moto-api/reset", method="POST")).close()
        fsspec.filesystem("s3").mkdir("bucket")
        yield url
        s3fs.S3FileSystem.clear_instance_cache()
    server.stop()
