"""From the start to the end of a server: what it says when it cannot start, and that it ends without losing an answer."""

import json
import re
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
import openai
import pytest

from process import PATIENCE, Server, default_model, environment, parkade

SHORT = {"model": "default", "prompt": "x", "max_tokens": 1}
LONG = {"model": "default", "prompt": "Once upon a time", "max_tokens": 300, "temperature": 0, "extra_body": {"ignore_eos": True}}


def openai_client(server):
    return openai.OpenAI(base_url=server.url + "/v1", api_key="unused", max_retries=0, timeout=PATIENCE)


def refused(*arguments, code=1, **keywords) -> str:
    """A start that ends with one message."""
    done = parkade("serve", "--port", "0", *arguments, **keywords)
    message = done.stderr.decode()
    assert done.returncode == code, message
    assert done.stdout == b""
    assert "panicked" not in message
    return message


def in_background(server, state: str, ask: Callable) -> Future:
    """Asks in a thread and comes back when the server shows a request in this state; the future has its answer or error."""
    end = ThreadPoolExecutor(1).submit(ask)
    while server.metric(f"parkade_num_requests_{state}") == 0:
        assert not end.done(), end
        time.sleep(0.01)
    return end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_running_stream_ends_whole_and_new_work_is_refused_while_draining(start, number):
    server = start()
    client = openai_client(server)
    expected = client.completions.create(**LONG).choices[0].text
    stream = client.completions.create(**LONG, stream=True)
    pieces = [next(stream).choices[0].text]
    server.signal(number)

    deadline = time.monotonic() + PATIENCE
    refusal = None
    while refusal is None and time.monotonic() < deadline:
        try:
            answer = httpx.post(server.url + "/v1/completions", json={"prompt": "x", "max_tokens": 1}, timeout=PATIENCE)
            if answer.status_code != 200:
                refusal = answer
        except httpx.ConnectError:
            break
    assert refusal is not None, "the port closed before a new request could be answered"
    assert refusal.status_code == 503
    assert refusal.json()["error"]["code"] == "shutting_down"
    assert 1 <= int(refusal.headers["retry-after"]) <= 120
    assert httpx.get(server.url + "/health/ready", timeout=PATIENCE).status_code == 503

    for chunk in stream:
        pieces += [choice.text for choice in chunk.choices]
    assert "".join(pieces) == expected
    assert server.wait() == 0


def test_an_idle_server_ends_at_once(start):
    server = start("--drain-seconds", "86400")
    server.signal(signal.SIGTERM)
    assert server.wait() == 0


def test_a_second_interrupt_ends_the_server_at_once(start):
    server = start()
    stream = openai_client(server).completions.create(**{**LONG, "max_tokens": 1500}, stream=True)
    next(stream)
    server.signal(signal.SIGINT)
    while "stopping: running answers end first" not in server.log:
        assert server.process.poll() is None
        time.sleep(0.01)
    server.signal(signal.SIGINT)
    assert server.wait() == 130


def test_what_runs_longer_than_the_drain_limit_gets_an_end_too(start):
    server = start("--drain-seconds", "1")
    endless = {**LONG, "prompt": "Once", "max_tokens": 2000}
    read = in_background(server, "running", lambda: list(openai_client(server).completions.create(**endless, stream=True)))
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    # It began, and so its end is an error in the stream, that says why.
    error = read.exception(PATIENCE)
    assert isinstance(error, openai.APIError) and error.code == "shutting_down", error


@pytest.mark.parametrize("scheduler", ["parking-lot", "default"])
def test_who_waits_when_the_drain_begins_is_refused_if_that_was_asked_for(start, scheduler):
    server = start("--scheduler", scheduler, "--max-seqs", "1", "--drain-waiting", "refuse")
    running = openai_client(server).completions.create(**{**LONG, "max_tokens": 600}, stream=True)
    next(running)
    waiting = in_background(server, "waiting", lambda: openai_client(server).completions.create(**SHORT))
    server.signal(signal.SIGTERM)
    refusal = waiting.exception(PATIENCE)
    assert isinstance(refusal, openai.APIStatusError), refusal
    assert (refusal.status_code, refusal.code) == (503, "shutting_down")
    assert [chunk.choices[0].finish_reason for chunk in running if chunk.choices][-1] == "length"
    assert server.wait() == 0


def test_the_port_answers_before_the_model_is_loaded(start):
    server = start(wait=False)
    seen = set()
    deadline = time.monotonic() + PATIENCE
    while 200 not in seen and time.monotonic() < deadline:
        assert server.get("/health").status_code == 200
        status = server.get("/health/ready").status_code
        if status == 503:
            answer = httpx.post(server.url + "/v1/completions", json={"prompt": "x", "max_tokens": 1}, timeout=PATIENCE)
            assert answer.status_code in (200, 503)
        seen.add(status)
    assert seen <= {200, 503} and 200 in seen


def test_a_port_in_use_is_said_with_its_remedy():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        message = refused("--port", str(port))
    assert f"127.0.0.1:{port}" in message and "--port" in message
    assert message.count("\n") == 1


def test_an_address_that_is_not_this_machines_is_said_with_its_remedy():
    assert "--host" in refused("--host", "203.0.113.7")


def test_a_missing_model_is_said_with_the_command_that_fetches_it():
    assert "there is no model file at /nowhere/x.gguf" in refused("--model", "/nowhere/x.gguf")
    assert "parkade pull llama-3.1-8b" in refused("--model", "llama-3.1-8b")
    assert "parkade pull --list" in refused("--model", "no-such-model")


def test_a_missing_default_model_names_the_set_up(tmp_path):
    message = refused(env=environment(PARKADE_HOME=str(tmp_path)))
    assert "make setup" in message and str(tmp_path) in message


BROKEN = {
    "empty": lambda source: b"",
    "not a GGUF": lambda source: b"PK\x03\x04" * 100,
    "cut in the header": lambda source: source[:1000],
    "cut in the weights": lambda source: source[: len(source) // 2],
    "hostile counts": lambda source: source[:8] + b"\xff" * 16 + source[24:4096],
}


@pytest.mark.parametrize("damage", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_model_is_said_with_its_path_and_no_panic(tmp_path, damage):
    path = tmp_path / "broken.gguf"
    path.write_bytes(damage(default_model().read_bytes()))
    message = refused("--model", str(path))
    assert str(path) in message


def test_a_directory_is_no_model(tmp_path):
    assert "is a directory" in refused("--model", str(tmp_path))


def test_a_kv_budget_beyond_the_machine_is_refused_with_the_limit():
    message = refused("--kv-cache-mb", "16000000", code=2)
    assert "kv-cache-mb is 16000000" in message and "MiB" in message and "the flag --kv-cache-mb" in message


def test_a_request_that_can_never_fit_a_small_kv_budget_is_refused_with_the_remedy(start):
    server = start("--kv-cache-mb", "4")
    client = openai_client(server)
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model="default", prompt="x " * 1500, max_tokens=1)
    assert caught.value.code == "request_too_large"
    assert "--kv-cache-mb" in caught.value.message
    # An answer that would not fit is cut.
    cut = client.completions.create(model="default", prompt="x", max_tokens=1500, extra_body={"ignore_eos": True})
    assert cut.choices[0].finish_reason == "length" and cut.usage.completion_tokens < 1500
    # What fits is served, one after another if need be.
    texts = {client.completions.create(model="default", prompt="1, 2,", max_tokens=8, temperature=0).choices[0].text for _ in range(3)}
    assert len(texts) == 1


def test_many_requests_on_a_small_kv_budget_all_finish_correctly(start):
    server = start("--kv-cache-mb", "4")
    client = openai_client(server)
    settings = {"model": "default", "max_tokens": 24, "temperature": 0}
    expected = [client.completions.create(prompt=f"{i}, {i + 1},", **settings).choices[0].text for i in range(4)]
    got = {}

    def one(i: int):
        got[i] = client.completions.create(prompt=f"{i % 4}, {i % 4 + 1},", **settings).choices[0].text

    threads = [threading.Thread(target=one, args=(i,)) for i in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert got == {i: expected[i % 4] for i in range(24)}


def test_a_full_queue_is_overload_with_a_time_to_come_back(start):
    server = start("--max-seqs", "1", "--max-queue-depth", "1")
    client = openai_client(server)
    endless = {**LONG, "max_tokens": 1500, "stream": True}
    running = client.completions.create(**endless)
    next(running)
    waiting = in_background(server, "waiting", lambda: client.completions.create(**SHORT))
    with pytest.raises(openai.InternalServerError) as caught:
        client.completions.create(**SHORT)
    assert caught.value.status_code == 503
    assert caught.value.code == "server_is_overloaded"
    assert 1 <= int(caught.value.response.headers["retry-after"]) <= 120
    running.close()
    waiting.result(PATIENCE)


def test_a_limit_that_makes_no_sense_is_wrong_usage():
    assert "max_seqs" in refused("--max-seqs", "0", code=2).replace("-", "_")
    assert "--port" in refused("--port", "70000", code=2)
    assert "--scheduler" in refused("--scheduler", "random", code=2)


def log_lines(server, message: str) -> list[dict]:
    """What the server has logged under this message."""
    lines = [json.loads(line) for line in server.log.splitlines()]
    return [line for line in lines if line["message"] == message]


def test_logs_go_to_standard_error_as_json_lines_when_asked(start):
    assert [line["level"] for line in log_lines(start(), "ready")] == ["INFO"]


def test_the_log_says_how_long_each_request_was_in_line_and_its_class(start):
    server = start("--scheduler", "default", "--max-seqs", "1")
    url = server.url + "/v1/completions"
    long = {"prompt": "Once upon a time", "max_tokens": 300, "ignore_eos": True, "stream": True}
    short = {"prompt": "x", "max_tokens": 1, "service_tier": "priority"}
    with httpx.stream("POST", url, json=long, headers={"x-request-id": "at-once"}, timeout=PATIENCE) as at_once:
        too_late = httpx.post(url, json=short, headers={"x-request-id": "too-late", "x-request-timeout-ms": "50"}, timeout=PATIENCE)
        behind = httpx.post(url, json=short, headers={"x-request-id": "behind"}, timeout=PATIENCE)
        at_once.read()
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    answers = [at_once, too_late, behind]
    assert [answer.status_code for answer in answers] == [200, 503, 200]
    told = {answer.headers["x-request-id"]: int(answer.headers["x-parkade-queue-ms"]) for answer in answers}
    # One that expired in line has no usage that says it.
    assert told["too-late"] >= 50 and told["behind"] > told["at-once"]
    lines = log_lines(server, "request")
    assert {line["id"]: line["queue_ms"] for line in lines} == told
    assert {line["id"]: line["class"] for line in lines} == {"at-once": "normal", "too-late": "high", "behind": "high"}


def test_a_model_outside_of_the_data_directory_is_served_by_its_file_name(start, tmp_path):
    path = tmp_path / "my-model.gguf"
    shutil.copy(default_model(), path)
    server = start("--model", str(path))
    assert [model["id"] for model in server.get("/v1/models").json()["data"]] == ["my-model"]


def test_the_address_in_the_log_is_the_one_that_answers(start):
    server = start("--host", "0.0.0.0")
    port = int(re.search(r":(\d+)$", server.url).group(1))
    assert httpx.get(f"http://127.0.0.1:{port}/health", timeout=PATIENCE).status_code == 200


def test_server_class_reports_a_start_that_fails():
    with pytest.raises(AssertionError, match="the server ended with 1"):
        Server("--model", "/nowhere.gguf")
