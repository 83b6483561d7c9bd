"""A hub on this machine that breaks off, lies and refuses as it is told."""

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# What opens the storage to whoever has it.
SIGNATURE = "signature-that-nobody-should-see"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FakeHub:
    """Answers as the Hugging Face hub does: a redirect with the file's facts, then the bytes from a storage."""

    def __init__(self, repo: str, files: dict[str, bytes]):
        self.repo, self.files = repo, files
        self.sha256 = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        self.break_after: list[int] = []  # bytes after which each next transfer breaks off
        self.ignores_ranges = False
        self.status: int | None = None
        self.token: str | None = None  # the token without which nothing is given
        self.small_files = False  # answers with the file itself, without redirect and SHA-256
        self.listing: list[str] | None = None  # the names that it says it has
        self.endless_listing = False
        self.announced: int | None = None  # the length that it says a file has
        self.has_moved = False  # sends everybody to the storage's address, which then answers as the hub did
        self.storage_host = "localhost"
        self.storage_status: int | None = None
        self.requests: list[tuple[str, str | None, str | None]] = []  # path, range, authorization
        self.at_storage: list[tuple[str, str | None]] = []  # path, authorization
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                hub.answer(self)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.storage = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        for server in (self.server, self.storage):
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    @property
    def storage_url(self) -> str:
        return f"http://{self.storage_host}:{self.storage.server_port}"

    def close(self):
        for server in (self.server, self.storage):
            server.shutdown()
            server.server_close()

    def reads(self) -> list[str | None]:
        """The ranges that the storage was asked for."""
        return [wanted for path, wanted, _ in self.requests if path.startswith("/blob/")]

    def answer(self, request: BaseHTTPRequestHandler):
        self.requests.append((request.path, request.headers.get("range"), request.headers.get("authorization")))
        at_storage = request.server is self.storage
        if at_storage:
            self.at_storage.append((request.path, request.headers.get("authorization")))
        elif self.has_moved:
            return self.say(request, 307, b"", {"location": self.storage_url + request.path})
        if at_storage and self.storage_status is not None:
            return self.say(request, self.storage_status)
        if not at_storage and self.status is not None:
            return self.say(request, self.status)
        if not at_storage and self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            return self.say(request, 401)
        if at_storage and request.path.startswith("/blob/"):
            return self.send_file(request, request.path.removeprefix("/blob/").partition("?")[0])
        if request.path.partition("?")[0].rstrip("/") in (f"/api/models/{self.repo}", f"/api/models/{self.repo}/revision/main"):
            if self.endless_listing:
                return self.send_endless_listing(request)
            names = self.files if self.listing is None else self.listing
            listing = {"siblings": [{"rfilename": name} for name in names], "sha": COMMIT}
            return self.say(request, 200, json.dumps(listing).encode(), {"content-type": "application/json"})
        found = re.fullmatch(rf"/{re.escape(self.repo)}/resolve/(main|{COMMIT})/(.+)", request.path)
        if not found or found.group(2) not in self.files:
            return self.say(request, 404)
        name = found.group(2)
        if self.small_files:
            return self.send_file(request, name, {"x-repo-commit": COMMIT, "etag": '"0123456789012345678901234567890123456789"'})
        headers = {
            "location": f"{self.storage_url}/blob/{name}?X-Signature={SIGNATURE}",
            "x-repo-commit": COMMIT,
            "x-linked-size": str(len(self.files[name]) if self.announced is None else self.announced),
            "x-linked-etag": f'"{self.sha256[name]}"',
        }
        return self.say(request, 302, b"", headers)

    def say(self, request, status: int, body: bytes = b"", headers: dict | None = None):
        request.send_response(status)
        for name, value in (headers or {}).items():
            request.send_header(name, value)
        request.send_header("content-length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def send_endless_listing(self, request):
        request.send_response(200)
        request.end_headers()
        request.close_connection = True
        try:
            request.wfile.write(b'{"siblings":[')
            while True:
                request.wfile.write(b'{"rfilename":"a-Q8_0.gguf"},' * 10_000)
        except ConnectionError:
            pass

    def send_file(self, request, name: str, headers: dict | None = None):
        data = self.files[name]
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range") or "")
        start, end = 0, len(data)
        headers = dict(headers or {})
        if wanted and not self.ignores_ranges:
            start = int(wanted.group(1))
            end = int(wanted.group(2)) + 1 if wanted.group(2) else len(data)
            if start >= len(data):
                return self.say(request, 416)
            headers["content-range"] = f"bytes {start}-{end - 1}/{len(data)}"
        request.send_response(206 if "content-range" in headers else 200)
        for key, value in headers.items():
            request.send_header(key, value)
        request.send_header("content-length", str(end - start))
        request.end_headers()
        if self.break_after:
            end = min(end, start + self.break_after.pop(0))
            request.close_connection = True
        try:
            request.wfile.write(data[start:end])
        except ConnectionError:
            pass
