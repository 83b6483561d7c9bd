"""Debian's Prometheus as a process, and traffic that gives it something to read."""

import pathlib
import shutil
import subprocess
import threading
import time

import httpx

from process import PATIENCE, ROOT, free_port

SCRAPE = ROOT / "deploy" / "prometheus" / "scrape.yml"


class Prometheus:
    """It scrapes one server every second, with the configuration that the project ships."""

    def __init__(self, server, directory: pathlib.Path):
        program = shutil.which("prometheus")
        assert program, "prometheus is missing; `make test` as root installs Debian's package prometheus, else install it"
        config = SCRAPE.read_text().replace("127.0.0.1:1234", server.url.removeprefix("http://"))
        config = config.replace("scrape_interval: 5s", "scrape_interval: 1s\n  scrape_timeout: 1s")
        (directory / "prometheus.yml").write_text(config)
        shutil.copy(SCRAPE.parent / "alerts.yml", directory)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [
                program,
                f"--config.file={directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=error",
            ]
        )

    def ask(self, path: str, **parameters) -> list[dict]:
        """The series of a query; none while Prometheus is not there yet."""
        try:
            response = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=PATIENCE)
        except httpx.TransportError:
            return []
        if response.status_code == 503:
            return []
        answer = response.json()
        assert answer.get("status") != "error", f"{parameters}: {answer}"
        return answer.get("data", {}).get("result", [])

    def values(self, query: str) -> list[float]:
        """The values of a query as of now."""
        return [float(sample["value"][1]) for sample in self.ask("query", query=query)]

    def eventually(self, query: str, expected: list[float]) -> None:
        until = time.monotonic() + PATIENCE
        while (seen := self.values(query)) != expected:
            assert time.monotonic() < until, f"{query} is {seen}, never {expected}"
            time.sleep(0.1)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=PATIENCE)


# A cache that is soon full, and a line that is soon too long.
BUSY = ["--kv-cache-mb", "12", "--max-queue-depth", "6", "--max-seqs", "6"]
CLIENTS = [
    ("ada", "flex", 60_000),
    ("ada", "default", 4_000),
    ("bob", "default", 60_000),
    ("bob", "flex", 60_000),
    ("cat", "priority", 600),
    ("dan", "default", 8_000),
]


def traffic(server, seconds: float, clients: int = 14) -> None:
    """Streams of all classes from several users for a while: more than such a server can take."""
    until = time.monotonic() + seconds

    def client(number: int) -> None:
        user, tier, slo = CLIENTS[number % len(CLIENTS)]
        turn = 0
        with httpx.Client(base_url=server.url, timeout=PATIENCE) as http:
            while time.monotonic() < until:
                turn += 1
                body = {
                    "messages": [{"role": "user", "content": f"{user} asks for story {turn} about the sea. " * (1 + number % 4)}],
                    "max_tokens": 30 + 20 * (number % 5),
                    "seed": number,
                    "user": user,
                    "service_tier": tier,
                    "stream": True,
                    "ignore_eos": True,
                }
                headers = {"x-slo-ttft-ms": str(slo)} | ({"x-request-timeout-ms": "1500"} if turn % 7 == 3 else {})
                with http.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer:
                    answer.read()
                # One that was turned away comes again soon.
                time.sleep(0.2 if answer.status_code == 200 else 0.5)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
