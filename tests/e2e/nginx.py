"""Debian's nginx as a process of an ordinary user, with the configuration that the project ships."""

import pathlib
import re
import shutil
import subprocess
import tempfile
import time

import httpx

from process import PATIENCE, ROOT, free_port
from unprivileged import ordinary_user

CONFIGURATION = ROOT / "deploy" / "nginx.conf"


class Nginx:
    """It stands before three servers. Only names and ports are put into the configuration."""

    def __init__(self, servers):
        # Debian has it where an ordinary user's path does not look.
        program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
        assert program, "nginx is missing; `make test` as root installs Debian's package nginx, else install it"
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="parkade-nginx-"))
        identity = ordinary_user(self.directory, "www-data", "nobody")
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        places = {f"node{number}:1234": server.url.removeprefix("http://") for number, server in enumerate(servers, 1)}
        text, found = re.subn(r"node\d:1234", lambda place: places[place[0]], CONFIGURATION.read_text())
        assert found == len(servers) == 3
        text = text.replace("listen 8080;", f"listen 127.0.0.1:{port};").replace("/dev/stdout", "requests.log")
        (self.directory / "nginx.conf").write_text(text)
        self.log_path = self.directory / "errors.log"
        command = [program, "-e", "stderr", "-p", str(self.directory), "-c", "nginx.conf", "-g", "daemon off;"]
        with open(self.log_path, "wb") as log:
            options = {"cwd": self.directory, "stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            self.process = subprocess.Popen(command, **options, **identity)
        until = time.monotonic() + PATIENCE
        while not self._answers():
            assert self.process.poll() is None and time.monotonic() < until, self.log
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            return httpx.get(self.url + "/health", timeout=PATIENCE).status_code == 200
        except httpx.ConnectError:
            return False

    @property
    def log(self) -> str:
        """What it has complained of."""
        return self.log_path.read_text(errors="replace")

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)
        shutil.rmtree(self.directory, ignore_errors=True)
