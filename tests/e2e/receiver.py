"""Something that webhooks tell: it keeps what it is told, and answers as it is to."""

import http.server
import queue
import threading

from process import PATIENCE


class Receiver:
    """Listens on a port of its own; the first requests get these statuses, all others 200."""

    def __init__(self, *statuses: int, headers: dict[str, str] | None = None):
        self.told = queue.Queue()
        answers = list(statuses)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(handler):
                body = handler.rfile.read(int(handler.headers["content-length"]))
                handler.send_response(answers.pop(0) if answers else 200)
                for name, value in (headers or {}).items():
                    handler.send_header(name, value)
                handler.send_header("content-length", "0")
                handler.end_headers()
                self.told.put((handler.path, dict(handler.headers), body))

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hooks"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def next(self) -> tuple[str, dict[str, str], bytes]:
        """Path, headers and body of the next request."""
        return self.told.get(timeout=PATIENCE)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
