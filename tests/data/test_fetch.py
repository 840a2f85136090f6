"""Files from the network: checked, resumed, kept, by several processes."""

from __future__ import annotations

import builtins
import hashlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from tinygrad_adam.data.datasets.fetch import RemoteFile, fetch
from tinygrad_adam.errors import DataError

pytestmark = pytest.mark.versions

CONTENT = np.random.default_rng(0).bytes(300_000)


SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Mirror:
    """A server on this machine, and how it behaves."""

    base: str = ""
    content: bytes = CONTENT
    ranges: bool = True
    status: int | None = None
    die_after: int | None = None
    on_request: Callable[[], None] = lambda: None
    requests: list[str | None] = field(default_factory=list)  # the Range header of each


@pytest.fixture
def mirrors() -> Iterator[tuple[Mirror, Mirror]]:
    servers, described = [], []
    for _ in range(2):
        mirror = Mirror()
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler(mirror))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        mirror.base = f"http://127.0.0.1:{server.server_port}/"
        servers.append(server)
        described.append(mirror)
    yield tuple(described)
    for server in servers:
        server.shutdown()
        server.server_close()


def handler(mirror):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            wanted = self.headers["Range"]
            mirror.requests.append(wanted)
            mirror.on_request()
            start = 0
            if wanted and mirror.ranges:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            body = mirror.content[start:]
            status = mirror.status or (206 if start else 200)
            if start and not body:
                status = 416
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: mirror.die_after])

        def log_message(self, *_):
            pass

    return Handler


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder of this test's own."""
    monkeypatch.delenv("TINYGRAD_ADAM_DATA", raising=False)
    monkeypatch.setattr("tinygrad_adam.data.datasets.fetch._cache", lambda: tmp_path / "cache")
    return tmp_path / "cache" / "set"


@pytest.fixture
def remote(mirrors):
    return RemoteFile("set", "file.gz", SHA256, tuple(mirror.base for mirror in mirrors))


def left_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_download_verifies_and_is_kept(mirrors, cache, remote):
    path = fetch(remote)
    assert path == cache / "file.gz"
    assert path.read_bytes() == CONTENT
    assert left_in(cache) == ["file.gz"]
    assert fetch(remote) == path
    assert [len(mirror.requests) for mirror in mirrors] == [1, 0]


def test_md5_serves_where_the_publisher_gives_no_other(mirrors, cache, remote, tmp_path, monkeypatch):
    checksum = hashlib.md5(CONTENT).hexdigest()
    remote = replace(remote, checksum=checksum, algorithm="md5")
    mirrors[0].content = b"other"
    assert fetch(remote).read_bytes() == CONTENT
    assert fetch(remote) == cache / "file.gz"
    assert [len(mirror.requests) for mirror in mirrors] == [1, 1]
    monkeypatch.setenv("TINYGRAD_ADAM_DATA", str(tmp_path / "data"))
    (tmp_path / "data" / "set").mkdir(parents=True)
    (tmp_path / "data" / "set" / "file.gz").write_bytes(b"mine")
    with pytest.raises(DataError) as caught:
        fetch(remote)
    for words in (f"md5 {checksum}", f"md5 {hashlib.md5(b'mine').hexdigest()}"):
        assert words in str(caught.value)


def test_the_second_mirror_is_tried(mirrors, cache, remote):
    mirrors[0].status = 503
    assert fetch(remote).read_bytes() == CONTENT
    assert [len(mirror.requests) for mirror in mirrors] == [1, 1]


def test_a_wrong_file_in_the_cache_is_downloaded_again(mirrors, cache, remote):
    cache.mkdir(parents=True)
    (cache / "file.gz").write_bytes(CONTENT[:-1] + b"?")
    assert fetch(remote).read_bytes() == CONTENT


def test_a_wrong_download_leaves_nothing(mirrors, cache, remote):
    for mirror in mirrors:
        mirror.content = b"<html>Please log in to the hotel's network</html>"
    with pytest.raises(DataError) as caught:
        fetch(remote)
    message = str(caught.value)
    for mirror in mirrors:
        assert mirror.base + "file.gz" in message
    assert SHA256 in message
    assert hashlib.sha256(mirrors[0].content).hexdigest() in message
    assert left_in(cache) == []


def test_a_download_that_breaks_off_is_resumed_by_the_other_mirror(mirrors, cache, remote):
    mirrors[0].die_after = 200_000
    assert fetch(remote).read_bytes() == CONTENT
    (wanted,) = mirrors[1].requests
    assert wanted is not None
    assert 0 < int(wanted.removeprefix("bytes=").removesuffix("-")) <= 200_000
    assert left_in(cache) == ["file.gz"]


def test_a_download_that_breaks_off_everywhere_is_resumed_next_time(mirrors, cache, remote):
    mirrors[0].die_after = 100_000
    mirrors[1].status = 500
    with pytest.raises(DataError):
        fetch(remote)
    assert left_in(cache) == ["file.gz.part"]
    mirrors[0].die_after = None
    assert fetch(remote).read_bytes() == CONTENT
    assert mirrors[0].requests[1] is not None
    assert left_in(cache) == ["file.gz"]


def test_a_part_is_replaced_where_the_server_knows_no_ranges(mirrors, cache, remote):
    cache.mkdir(parents=True)
    (cache / "file.gz.part").write_bytes(b"x" * 1000)
    mirrors[0].ranges = False
    assert fetch(remote).read_bytes() == CONTENT
    assert mirrors[0].requests == ["bytes=1000-"]
    assert mirrors[1].requests == []


def test_a_part_longer_than_the_file_is_cut_where_the_server_knows_no_ranges(mirrors, cache, remote):
    cache.mkdir(parents=True)
    (cache / "file.gz.part").write_bytes(b"x" * 400_000)
    mirrors[0].ranges = False
    assert fetch(remote).read_bytes() == CONTENT
    assert mirrors[1].requests == []


def test_a_part_that_is_complete_is_only_verified(mirrors, cache, remote):
    cache.mkdir(parents=True)
    (cache / "file.gz.part").write_bytes(CONTENT)
    assert fetch(remote).read_bytes() == CONTENT
    assert mirrors[0].requests == [f"bytes={len(CONTENT)}-"]
    assert mirrors[1].requests == []


@pytest.mark.parametrize("size", [1000, 400_000])
def test_a_part_of_something_else_does_no_harm(size, mirrors, cache, remote):
    cache.mkdir(parents=True)
    (cache / "file.gz.part").write_bytes(b"x" * size)
    assert fetch(remote).read_bytes() == CONTENT
    assert mirrors[1].requests == [None]
    assert left_in(cache) == ["file.gz"]


@pytest.mark.parametrize("ranges", [True, False])
def test_downloads_at_the_same_time_do_not_spoil_each_other(ranges, mirrors, cache, remote):
    mirrors[0].ranges = ranges
    mirrors[0].on_request = threading.Barrier(4, timeout=60).wait
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(fetch, [replace(remote, mirrors=remote.mirrors[:1])] * 4))
    assert set(paths) == {cache / "file.gz"}
    assert paths[0].read_bytes() == CONTENT
    assert left_in(cache) == ["file.gz"]


def test_ctrl_c_keeps_the_part_and_nothing_else(mirrors, cache, remote, monkeypatch):
    import requests

    whole = requests.Response.iter_content

    def interrupted(self, size):
        yield next(whole(self, size))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(requests.Response, "iter_content", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch(remote)
    assert left_in(cache) == ["file.gz.part"]
    assert CONTENT.startswith((cache / "file.gz.part").read_bytes())
    assert fetch(remote).read_bytes() == CONTENT
    assert mirrors[0].requests[1] is not None


def test_mirrors_that_cannot_be_reached_are_all_named(cache):
    remote = RemoteFile("set", "file.gz", SHA256, ("http://127.0.0.1:1/a/", "http://127.0.0.1:1/b/"))
    with pytest.raises(DataError) as caught:
        fetch(remote)
    first, *reasons = str(caught.value).splitlines()
    assert "TINYGRAD_ADAM_DATA" in first
    assert "set/file.gz" in first
    assert [line.split()[0] for line in reasons] == [mirror + "file.gz" for mirror in remote.mirrors]
    assert all("ConnectionError" in line for line in reasons)


def test_a_folder_of_files_comes_first(mirrors, cache, remote, tmp_path, monkeypatch):
    folder = tmp_path / "data"
    (folder / "set").mkdir(parents=True)
    (folder / "set" / "file.gz").write_bytes(CONTENT)
    monkeypatch.setenv("TINYGRAD_ADAM_DATA", str(folder))
    assert fetch(remote) == folder / "set" / "file.gz"
    assert fetch(replace(remote, folder="other")).parent == cache.parent / "other"
    assert len(mirrors[0].requests) == 1


def test_a_wrong_file_in_the_folder_is_refused_and_left(mirrors, cache, remote, tmp_path, monkeypatch):
    path = tmp_path / "data" / "set" / "file.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    monkeypatch.setenv("TINYGRAD_ADAM_DATA", str(tmp_path / "data"))
    with pytest.raises(DataError) as caught:
        fetch(remote)
    for words in (str(path), SHA256, hashlib.sha256(b"mine").hexdigest(), "TINYGRAD_ADAM_DATA", "replace"):
        assert words in str(caught.value)
    assert path.read_bytes() == b"mine"
    assert mirrors[0].requests == []


def without(monkeypatch, *packages):
    real = builtins.__import__

    def limited(name, *args, **kwargs):
        if name.split(".")[0] in packages:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", limited)


@pytest.mark.parametrize("package", ["pooch", "requests", "rich"])
def test_a_missing_package_is_named_only_when_it_is_needed(package, cache, remote, monkeypatch):
    without(monkeypatch, package)
    with pytest.raises(DataError, match=rf'pip install "tinygrad-adam\[cli\]"\n +missing +{package}'):
        fetch(remote)
    cache.mkdir(parents=True)
    (cache / "file.gz").write_bytes(CONTENT)
    assert fetch(remote) == cache / "file.gz"


@pytest.mark.skipif(sys.platform != "linux", reason="the layout of the cache without platformdirs")
@pytest.mark.parametrize("packages", [(), ("platformdirs",)])
def test_the_cache_is_where_linux_keeps_caches(packages, remote, tmp_path, monkeypatch):
    monkeypatch.delenv("TINYGRAD_ADAM_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    without(monkeypatch, *packages)
    path = tmp_path / "tinygrad_adam" / "set" / "file.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert fetch(remote) == path


def test_importing_the_room_imports_none_of_the_optional_packages():
    script = (
        "import sys, tinygrad_adam.data; "
        "print(*{'pooch', 'requests', 'rich', 'platformdirs'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
