"""Debian's PostgreSQL as a process of an ordinary user, on a free port and in a folder of its own.

It needs nothing but Python's own library: `scripts/with_postgres` starts it around the tests in Rust."""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from unprivileged import ordinary_user

# How long a start or an end may take on a busy machine: reached only by a fault.
PATIENCE = 120.0
MISSING = "PostgreSQL is missing; `make test` as root installs Debian's package postgresql, else install it"
SUPERUSER = "parkade"


def programs() -> pathlib.Path:
    """The folder of `initdb` and `postgres`: Debian's of the newest version, or the one on the path."""
    newest = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    on_path = shutil.which("initdb")
    found = newest[-1] if newest else on_path and pathlib.Path(on_path).resolve()
    if not found:
        raise FileNotFoundError(MISSING)
    return found.parent


class Postgres:
    """A cluster that is there until `close`; it may be stopped and started meanwhile.

    It does not survive the machine (fsync is off), but the death of its process."""

    def __init__(self):
        self.programs = programs()
        self.process = None
        self.databases = 0
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="parkade-postgres-"))
        # PostgreSQL refuses to be run by root.
        self.identity = ordinary_user(self.directory, "postgres", "nobody")
        self.log_path = self.directory / "log"
        try:
            made = ["--pgdata", str(self.directory / "data"), "--username", SUPERUSER, "--auth", "trust", "--no-sync"]
            self._run("initdb", *made, "--encoding", "UTF8", "--locale", "C")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
            self.start()
        except BaseException:
            self.close()
            raise

    def _environment(self) -> dict[str, str]:
        """Without settings of the person who runs the tests (`PGHOST` and the like)."""
        return {key: value for key, value in os.environ.items() if not key.startswith("PG")}

    def _run(self, program: str, *arguments: str) -> str:
        command = [str(self.programs / program), *arguments]
        options = {"cwd": self.directory, "env": self._environment(), "timeout": PATIENCE, **self.identity}
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, **options)
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"
        return done.stdout

    def url(self, database: str = "postgres") -> str:
        return f"postgres://{SUPERUSER}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Starts it, on the same port each time, and waits until it answers."""
        assert self.process is None, "it runs"
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": "200",
            "shared_buffers": "32MB",
        }
        command = [str(self.programs / "postgres"), "-D", str(self.directory / "data"), "-p", str(self.port)]
        command += [f"--{name}={value}" for name, value in settings.items()]
        options = {"cwd": self.directory, "env": self._environment(), "stdin": subprocess.DEVNULL, **self.identity}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, **options)
        ready = [str(self.programs / "pg_isready"), "--quiet", "--dbname", self.url()]
        until = time.monotonic() + PATIENCE
        while subprocess.run(ready, env=self._environment(), stdin=subprocess.DEVNULL).returncode != 0:
            assert self.process.poll() is None, f"PostgreSQL ended with {self.process.returncode}:\n{self.log}"
            assert time.monotonic() < until, f"PostgreSQL does not answer:\n{self.log}"
            time.sleep(0.02)

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Ends it: SIGINT cuts connections and ends in order, SIGQUIT is a crash."""
        process, self.process = self.process, None
        process.send_signal(how)
        process.wait(PATIENCE)

    def ask(self, statement: str, database: str = "postgres") -> list[list[str]]:
        """The rows of a statement's answer, as text."""
        options = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1"]
        text = self._run("psql", *options, "--dbname", self.url(database), "--command", statement)
        return [row.split("|") for row in text.splitlines()]

    def fresh_database(self) -> str:
        """An empty database that nobody else has, as a URL."""
        self.databases += 1
        name = f"parkade_{self.databases}"
        self.ask(f"CREATE DATABASE {name}")
        return self.url(name)

    def drop(self, url: str) -> None:
        """Drops a database, also under those who are connected."""
        name = re.fullmatch(r".*/(\w+)", url).group(1)
        self.ask(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def close(self) -> None:
        if self.process:
            self.stop(signal.SIGQUIT)
        shutil.rmtree(self.directory, ignore_errors=True)
