"""The log never decides: not whether a request is answered, nor with which code the process ends."""

import contextlib
import fcntl
import os
import signal
import subprocess
import time

import httpx
import pytest

from process import PATIENCE, binary, environment, listening_port, parkade

# A request's line in the log is some hundred bytes: as many requests fill any pipe.
PIPE_BYTES = 4096


@contextlib.contextmanager
def closed_pipe():
    """A pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@contextlib.contextmanager
def full_pipe():
    """A pipe that is full already, and that nobody reads."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    os.write(writer, b"x" * fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ))
    yield writer
    os.close(reader)
    os.close(writer)


@contextlib.contextmanager
def full_pipe_that_does_not_block():
    """The same, as some service managers leave it: every write to it is an error."""
    with full_pipe() as writer:
        os.set_blocking(writer, False)
        yield writer


@contextlib.contextmanager
def full_disk():
    with open("/dev/full", "wb") as full:
        yield full.fileno()


BROKEN = [closed_pipe, full_pipe, full_pipe_that_does_not_block, full_disk]


@contextlib.contextmanager
def serving(**streams):
    """A server whose log cannot tell on which port it is, and its address."""
    command = [str(binary()), "serve", "--port", "0", "--log-level", "debug"]
    process = subprocess.Popen(command, env=environment(), **streams)
    try:
        deadline = time.monotonic() + PATIENCE
        url = None
        while url is None or httpx.get(url + "/health/ready", timeout=PATIENCE).status_code != 200:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
            port = listening_port(process)
            url = port and f"http://127.0.0.1:{port}"
        yield process, url
    finally:
        process.kill()
        process.wait()


def answers(url) -> bool:
    body = {"prompt": "1, 2, 3,", "max_tokens": 2, "temperature": 0}
    return httpx.post(url + "/v1/completions", json=body, timeout=PATIENCE).json()["usage"]["completion_tokens"] == 2


def dropped(url) -> int:
    lines = httpx.get(url + "/metrics", timeout=PATIENCE).text.splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("parkade_log_lines_dropped_total ")))


def lines_were_dropped(url) -> bool:
    """Asks until a line had to be dropped; there is room for many in the queue before a pipe that blocks."""
    deadline = time.monotonic() + PATIENCE
    with httpx.Client() as client:
        while time.monotonic() < deadline:
            if dropped(url):
                return True
            for _ in range(100):
                client.get(url + "/v1/" + "x" * 4000, timeout=PATIENCE)
    return False


@pytest.mark.parametrize("stream", BROKEN, ids=lambda stream: stream.__name__)
def test_a_log_that_cannot_be_written_is_dropped_and_counted_and_all_else_goes_on(stream):
    with stream() as log, serving(stdin=subprocess.DEVNULL, stdout=log, stderr=log) as (process, url):
        assert all(answers(url) for _ in range(3))
        assert lines_were_dropped(url)
        assert answers(url)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0


def test_a_log_whose_reader_goes_away_while_it_runs_is_dropped_too():
    reader, writer = os.pipe()
    with serving(stdin=subprocess.DEVNULL, stdout=writer, stderr=writer) as (process, url):
        os.close(writer)
        assert answers(url) and dropped(url) == 0
        os.close(reader)
        assert answers(url) and lines_were_dropped(url)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0


def test_a_log_file_that_may_not_grow_further_is_dropped_too(tmp_path):
    with open(tmp_path / "log", "wb") as log, serving(stdin=subprocess.DEVNULL, stdout=log, stderr=log) as (process, url):
        subprocess.run(["prlimit", "--pid", str(process.pid), f"--fsize={log.tell()}:{log.tell()}"], check=True)
        assert answers(url) and lines_were_dropped(url) and answers(url)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0


def test_standard_streams_that_are_closed_are_no_fault():
    """As `<&- >&- 2>&-` in a shell."""

    def close_all():
        os.closerange(0, 3)

    with serving(preexec_fn=close_all) as (process, url):
        assert answers(url)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize("stream", BROKEN, ids=lambda stream: stream.__name__)
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["run", "--temperature", "0", "--max-tokens", "4", "-i", "What is 2+2?"], 0),
        (["run", "-i", " "], 2),
        (["run", "--no-such-flag"], 2),
        (["serve", "--model", "/nowhere.gguf"], 1),
        (["serve", "--port", "none"], 2),
        (["pull", "justaname"], 1),
    ],
    ids=lambda value: " ".join(value[:3]) if isinstance(value, list) else "",
)
def test_exit_codes_and_answers_do_not_depend_on_standard_error(stream, arguments, code):
    with stream() as broken:
        command = [str(binary()), *arguments]
        done = subprocess.run(command, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=broken, timeout=PATIENCE)
    assert done.returncode == code
    assert done.stdout == (parkade(*arguments).stdout if code == 0 else b"")
