"""Three servers behind Debian's nginx, with the configuration that is shipped."""

import concurrent.futures
import contextlib
import http.client
import itertools
import json
import signal
import threading

import httpx
import openai
import pytest

from nginx import Nginx
from process import PATIENCE

# Each server runs one request at once, and lets one wait.
NODE = ["--threads", "1", "--kv-cache-mb", "64", "--max-seqs", "1", "--max-queue-depth", "1"]
LONG = {"model": "default", "prompt": "Once upon a time", "max_tokens": 1900, "ignore_eos": True, "stream": True}
SHORT = {"model": "default", "prompt": "1, 2, 3,", "max_tokens": 4, "temperature": 0}


@pytest.fixture
def behind(start):
    """Three servers, and an nginx before them."""
    running = []

    def starting(*arguments):
        with concurrent.futures.ThreadPoolExecutor() as pool:
            nodes = list(pool.map(lambda _: start(*arguments), range(3)))
        running.append(Nginx(nodes))
        return nodes, running[0]

    yield starting
    for nginx in running:
        nginx.close()


def ask(url: str, **more) -> httpx.Response:
    return httpx.post(url + "/v1/completions", json=SHORT | more, timeout=PATIENCE)


def test_streams_ids_and_errors_pass_through_nginx(behind):
    nodes, nginx = behind("--threads", "1", "--kv-cache-mb", "64")
    with openai.OpenAI(base_url=nginx.url + "/v1", api_key="unused", max_retries=0, timeout=PATIENCE) as client:
        whole = client.completions.create(**SHORT)
        assert "".join(chunk.choices[0].text for chunk in client.completions.create(**SHORT, stream=True)) == whole.choices[0].text
    # The request's own id, or one that the server made.
    mine = httpx.post(nginx.url + "/v1/completions", json=SHORT, headers={"x-request-id": "mine-1"}, timeout=PATIENCE)
    assert mine.headers["x-request-id"] == "mine-1"
    assert len(ask(nginx.url).headers["x-request-id"]) > 8
    wrong = ask(nginx.url, temperature=-1)
    assert wrong.status_code == 400 and wrong.json()["error"]["param"] == "temperature"
    # What nginx refuses itself is in the same form.
    connection = http.client.HTTPConnection(httpx.URL(nginx.url).netloc.decode(), timeout=PATIENCE)
    connection.putrequest("POST", "/v1/completions")
    connection.putheader("content-length", str(202 << 20))
    connection.endheaders()
    refused = connection.getresponse()
    assert refused.status == 413 and json.loads(refused.read())["error"]["code"] == "body_too_large"
    connection.close()
    # Figures are a server's own.
    assert httpx.get(nginx.url + "/metrics").status_code == 404
    # A client that goes away is gone for the server too.
    with httpx.stream("POST", nginx.url + "/v1/completions", json=LONG, timeout=PATIENCE) as answer:
        next(answer.iter_lines())
    for node in nodes:
        node.await_idle()
    # Nobody was left out: each server had some of it.
    for _ in range(6):
        assert ask(nginx.url).status_code == 200
    assert all(node.metric("parkade_prompt_tokens_total") > 0 for node in nodes)


@contextlib.contextmanager
def held(node):
    """A request runs at a server meanwhile."""
    with httpx.stream("POST", node.url + "/v1/completions", json=LONG, timeout=PATIENCE) as answer:
        lines = answer.iter_lines()
        assert answer.status_code == 200 and next(lines).startswith("data: ")
        yield lines


def test_what_waits_hears_of_it_at_once_and_what_finds_no_room_when_to_come_back(behind):
    nodes, nginx = behind(*NODE)
    with contextlib.ExitStack() as holders, httpx.Client(base_url=nginx.url, timeout=PATIENCE) as caller:
        for node in nodes:
            holders.enter_context(held(node))
        waiting, refused = [], None
        # Each server lets some wait; then none has room.
        for _ in range(12):
            body = SHORT | {"stream": True}
            answer = caller.send(caller.build_request("POST", "/v1/completions", json=body), stream=True)
            if answer.status_code == 503:
                refused = answer
                break
            waiting.append(answer)
        assert refused is not None and len(waiting) >= 3
        assert json.loads(refused.read())["error"]["code"] == "server_is_overloaded"
        assert int(refused.headers["retry-after"]) >= 1
        # Comments come through while it waits: nothing is held back until more has come.
        lines = [answer.iter_lines() for answer in waiting]
        for stream in lines:
            assert next(stream).startswith(": queued ")
        assert all(node.metric("parkade_num_requests_running") == 1 for node in nodes)
        holders.close()
        for stream in lines:
            assert [line for line in stream if line][-1] == "data: [DONE]"
        for answer in waiting:
            answer.close()
    for node in nodes:
        node.await_idle()


class Load:
    """Clients that ask one short thing after the other meanwhile, as whole answers or as streams too."""

    def __init__(self, url: str, *streams: bool):
        self.url, self.streams = url, streams
        self.answers, self.changed, self.stop = [], threading.Condition(), threading.Event()
        self.clients = [threading.Thread(target=self._ask) for _ in range(6)]

    def _ask(self) -> None:
        with httpx.Client(base_url=self.url, timeout=PATIENCE) as caller:
            for stream in itertools.cycle(self.streams):
                if self.stop.is_set():
                    return
                answer = caller.post("/v1/completions", json=SHORT | {"stream": stream, "max_tokens": 12})
                is_whole = not stream or answer.text.rstrip().endswith("data: [DONE]")
                with self.changed:
                    self.answers.append((answer.status_code, is_whole, answer.text))
                    self.changed.notify_all()

    def more(self, count: int = 12) -> None:
        """Waits until so many further answers are there."""
        with self.changed:
            wanted = len(self.answers) + count
            assert self.changed.wait_for(lambda: len(self.answers) >= wanted, PATIENCE)

    def __enter__(self):
        for client in self.clients:
            client.start()
        self.more()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for client in self.clients:
            client.join()
        failed = [answer for answer in self.answers if answer[:2] != (200, True)]
        assert not failed, f"{len(failed)} of {len(self.answers)}: {failed[:3]}"


def test_servers_drain_and_die_without_a_request_that_fails(behind):
    nodes, nginx = behind("--threads", "1", "--kv-cache-mb", "64", "--drain-seconds", "200")
    with Load(nginx.url, True, False) as load:
        nodes[0].signal(signal.SIGTERM)
        assert nodes[0].wait() == 0
        load.more()
    # Half an answer cannot be taken back, so it is whole ones that a server may be killed under.
    with Load(nginx.url, False) as load:
        nodes[1].signal(signal.SIGKILL)
        nodes[1].wait()
        load.more()
    # When the last one is gone nginx says so itself, and when to come back.
    nodes[2].signal(signal.SIGTERM)
    assert nodes[2].wait() == 0
    nobody = ask(nginx.url)
    assert (nobody.status_code, nobody.headers["retry-after"]) == (503, "5")
    assert nobody.json()["error"]["code"] == "server_unreachable"
