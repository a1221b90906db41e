"""A real HTTP server on the loopback that behaves badly when told to."""

import hashlib
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import pytest


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, *_):
        """A client that goes away in the middle is what some tests are about."""


class Server:
    """Serves `files` (path -> bytes). `faults[path]` holds what goes wrong, one per GET, in order.

    Faults: "cut" (closes after half of the body), an int (status), (status, headers), "wrong byte",
    "no range" (ignores Range), "other range" (206 with the whole file), "short" and "long" (lies
    about Content-Length), "chunked" (does not say the length), "new tag".
    """

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list] = defaultdict(list)
        self.log: list[tuple[str, str, str]] = []  # method, path, Range
        self.tags = True
        self.on_get = lambda path: None
        self._http = _Quiet(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self.base = f"http://127.0.0.1:{self._http.server_port}/data/"
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self._http.shutdown()
        self._http.server_close()

    def gets(self, path: str) -> list[str]:
        """The Range of every GET of a path, "" where it asked for the whole."""
        return [r for method, asked, r in self.log if (method, asked) == ("GET", path)]

    def publish(self, files: dict[str, bytes]) -> None:
        """Serve files with their SHA256SUMS.txt."""
        sums = "".join(f"{hashlib.sha256(b).hexdigest()} {path}\n" for path, b in files.items())
        self.files = {**files, "SHA256SUMS.txt": sums.encode()}

    def _handler(self):
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_):
                pass

            def do_HEAD(self):
                path = unquote(self.path.removeprefix("/data/"))
                server.log.append(("HEAD", path, ""))
                body = server.files.get(path)
                self.send_response(404 if body is None else 200)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()

            def do_GET(self):
                path = unquote(self.path.removeprefix("/data/"))
                server.log.append(("GET", path, self.headers.get("Range", "")))
                server.on_get(path)
                faults = server.faults[path]
                server._answer(self, path, faults.pop(0) if faults else None)

        return Handler

    def _answer(self, http, path, fault):
        body = self.files.get(path)
        status, headers = (404, {}) if body is None else (200, {})
        if isinstance(fault, int):
            status = fault
        elif isinstance(fault, tuple):
            status, headers = fault
        if status != 200:
            return self._send(http, status, headers, b"")
        tag = '"new"' if fault == "new tag" else f'"{hashlib.md5(body).hexdigest()}"'
        headers = {"ETag": tag} if self.tags else {}
        asked = http.headers.get("Range", "")
        same = http.headers.get("If-Range", tag) == tag
        if asked and same and fault != "no range":
            begin = int(asked.removeprefix("bytes=").removesuffix("-"))
            if begin >= len(body):
                return self._send(http, 416, {"Content-Range": f"bytes */{len(body)}"}, b"")
            begin = 0 if fault == "other range" else begin
            status, whole = 206, len(body)
            headers["Content-Range"] = f"bytes {begin}-{whole - 1}/{whole}"
            body = body[begin:]
        if fault == "wrong byte":
            body = body[:-1] + bytes([body[-1] ^ 1])
        self._send(http, status, headers, body, fault)

    def _send(self, http, status, headers, body, fault=None):
        http.send_response(status)
        lengths = {"short": len(body) - 1, "long": len(body) + 1}
        if fault == "chunked":
            http.close_connection = True
            headers = {**headers, "Connection": "close"}
        else:
            headers = {**headers, "Content-Length": str(lengths.get(fault, len(body)))}
        for name, value in headers.items():
            http.send_header(name, value)
        http.end_headers()
        http.wfile.write(body[: len(body) // 2] if fault == "cut" else body)
        if fault in ("cut", "long", "short"):
            http.close_connection = True


@pytest.fixture
def server(monkeypatch):
    """Reached directly, whatever proxy the machine uses."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    made = Server()
    yield made
    made.close()


@pytest.fixture
def pauses():
    """`pauses.append` is a sleep that only notes how long it should have been."""
    return []
