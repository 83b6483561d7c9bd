"""The real binary as a process: started, asked, stopped."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time

import httpx

ROOT = pathlib.Path(__file__).resolve().parents[2]
# How long anything may take that does take its time on a busy machine: reached only by a fault.
PATIENCE = 240.0


def binary() -> pathlib.Path:
    """The binary that `cargo test --workspace` left, or the one that PARKADE_BIN names."""
    named = os.environ.get("PARKADE_BIN")
    if named:
        return pathlib.Path(named)
    command = ["cargo", "metadata", "--format-version", "1", "--no-deps", "--locked"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
    path = pathlib.Path(metadata["target_directory"]) / "debug" / "parkade"
    assert path.exists(), f"{path} is missing; run `cargo test --workspace` (or `make test`) first"
    return path


def data_directory() -> pathlib.Path:
    """Where the set-up put the default model: the same rule as the binary's."""
    if os.environ.get("PARKADE_HOME"):
        return pathlib.Path(os.environ["PARKADE_HOME"])
    if os.environ.get("XDG_CACHE_HOME"):
        return pathlib.Path(os.environ["XDG_CACHE_HOME"]) / "parkade"
    return pathlib.Path.home() / ".cache" / "parkade"


def default_model() -> pathlib.Path:
    path = data_directory() / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    assert path.exists(), f"{path} is missing; run `make setup`"
    return path


def environment(**extra: str) -> dict[str, str]:
    """The environment without settings of the person who runs the tests."""
    own = ("PARKADE_", "RUST_LOG", "HF_", "XDG_CONFIG_HOME")
    clean = {key: value for key, value in os.environ.items() if not key.startswith(own)}
    clean["PARKADE_HOME"] = str(data_directory())
    # An empty place: a configuration file of that person does not count either.
    clean["XDG_CONFIG_HOME"] = tempfile.gettempdir() + "/parkade-tests-without-configuration"
    # Nor what that person's own server keeps; tests of what is kept have stores of their own.
    clean["PARKADE_STORE"] = "none"
    clean.update(extra)
    return clean


def parkade(*arguments: str, env: dict[str, str] | None = None, stdin: bytes | None = None, timeout: float = PATIENCE):
    """Runs a command to its end."""
    given = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
    command = [str(binary()), *arguments]
    return subprocess.run(command, env=env or environment(), capture_output=True, timeout=timeout, **given)


def free_port() -> int:
    """A port of this machine that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listening_port(process: subprocess.Popen) -> int | None:
    """The port of this machine that a process listens on, if it does already: for one that cannot say it."""
    try:
        links = [os.readlink(link) for link in pathlib.Path(f"/proc/{process.pid}/fd").iterdir()]
    except FileNotFoundError:
        return None
    sockets = {link.removeprefix("socket:[").removesuffix("]") for link in links if link.startswith("socket:[")}
    rows = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
    # Columns: local address, state (0A: listens), inode.
    return next((int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and row[9] in sockets), None)


class Server:
    """`parkade serve` on a port of its own choosing."""

    def __init__(
        self,
        *arguments: str,
        env: dict[str, str] | None = None,
        wait: bool = True,
        http: dict | None = None,
        url: str | None = None,
    ):
        # How httpx reaches it, if that takes more than its URL; which is found in the log if it is not given.
        self.http = http or {}
        self.log_path = pathlib.Path(tempfile.mkstemp(prefix="parkade-e2e-", suffix=".log")[1])
        command = [str(binary()), "serve", "--port", "0", "--log-format", "json", *arguments]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, env=env or environment(), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            self.url = url or self._await_url()
            if wait:
                self.await_ready()
        except BaseException:
            self.close()
            raise

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def _await_url(self) -> str:
        def listening() -> str | None:
            found = re.search(r'"message":"listening".*?"url":"(https?:[^"]+)"', self.log)
            return found and found.group(1)

        return self._until(listening, "the port")

    def await_ready(self) -> None:
        def ready() -> bool:
            try:
                return self.get("/health/ready").status_code == 200
            except httpx.ConnectError:
                # A socket whose file is not there yet.
                return False

        self._until(ready, "readiness")

    def _until(self, condition, what: str):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"the server ended with {self.process.returncode}:\n{self.log}"
            value = condition()
            if value:
                return value
            time.sleep(0.02)
        raise AssertionError(f"no {what} within {PATIENCE} s:\n{self.log}")

    def get(self, path: str) -> httpx.Response:
        # A client of its own each time: a transport that is given is closed with its client.
        if "transport" in self.http:
            return httpx.Client(**self.http, timeout=PATIENCE).get(self.url + path)
        return httpx.get(self.url + path, **self.http, timeout=PATIENCE)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that carry the labels."""
        total, seen = 0.0, False
        for line in self.get("/metrics").text.splitlines():
            found = re.fullmatch(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)", line)
            if not found or found.group(1) != name:
                continue
            there = dict(re.findall(r'(\w+)="([^"]*)"', found.group(2) or ""))
            if labels.items() <= there.items():
                total, seen = total + float(found.group(3)), True
        assert seen, f"there is no metric {name} {labels}"
        return total

    def await_idle(self, limit: float = PATIENCE) -> None:
        """Until no request runs or waits and no block is held."""
        names = ("parkade_num_requests_running", "parkade_num_requests_waiting", "parkade_kv_blocks_used")
        deadline = time.monotonic() + limit
        while True:
            held = {name: self.metric(name) for name in names}
            if not any(held.values()):
                return
            assert time.monotonic() < deadline, f"still held after {limit} s: {held}"
            time.sleep(0.02)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, timeout: float = PATIENCE) -> int:
        return self.process.wait(timeout)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.log_path.unlink(missing_ok=True)
