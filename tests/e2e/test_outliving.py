"""Responses and detached answers that outlive their clients and their server, in a store, with the official client."""

import json
import signal
import socket
import time
import urllib.parse

import httpx
import openai
import pytest

from process import PATIENCE, parkade

LONG = {"model": "default", "input": "abc", "max_output_tokens": 600}
ENDED = ("completed", "incomplete", "failed", "cancelled")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    done = parkade("synth", "--shape", "tiny-qwen2", str(path))
    assert done.returncode == 0, done.stderr.decode()
    return path


SETTINGS = ["--threads", "1", "--kv-cache-mb", "32", "--max-seqs", "4", "--chat-template", "chatml"]


@pytest.fixture
def serve(start, tiny, tmp_path):
    """Starts a server on the test's own store; again after the last one has ended."""
    return lambda *arguments: start("--model", str(tiny), *SETTINGS, "--store", str(tmp_path / "parkade.db"), *arguments)


@pytest.fixture
def nodes(start, tiny, database):
    """Two servers on one PostgreSQL."""
    settings = ["--model", str(tiny), *SETTINGS, "--store", database, "--lease-seconds", "2"]
    return [start(*settings), start(*settings)]


def client(server) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url + "/v1", api_key="unused", max_retries=0, timeout=PATIENCE)


def kill(server) -> None:
    server.signal(signal.SIGKILL)
    server.wait()


def until_ended(server, identity: str):
    ends = time.monotonic() + PATIENCE
    while True:
        response = client(server).responses.retrieve(identity)
        if response.status in ENDED:
            return response
        assert time.monotonic() < ends, response
        time.sleep(0.05)


def begin_and_read(server, count: int, **body):
    """The first events of an answer in the background, whose reader leaves."""
    stream = client(server).responses.create(**LONG, background=True, stream=True, **body)
    events = [event for event, _ in zip(stream, range(count))]
    stream.close()
    return events[0].response.id, events


def text_of(events) -> str:
    assert [event.sequence_number for event in events] == list(range(len(events)))
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


def go_on(server, identity: str, events: list):
    after = events[-1].sequence_number
    return [*events, *client(server).responses.retrieve(identity, stream=True, starting_after=after)]


def test_a_killed_server_goes_on_with_an_answer_where_its_reader_was(serve):
    server = serve()
    undisturbed = client(server).responses.create(**LONG, extra_body={"seed": 3}).output_text
    for read in (2, 5, 40):
        identity, events = begin_and_read(server, read, extra_body={"seed": 3})
        kill(server)
        server = serve()
        events = go_on(server, identity, events)
        ended = until_ended(server, identity)
        assert text_of(events) == ended.output_text == undisturbed
        assert events[-1].response == ended


def test_a_seed_that_nobody_gave_is_the_same_after_a_kill(serve):
    server = serve()
    identity, events = begin_and_read(server, 30)
    kill(server)
    server = serve()
    # It may be killed as often as one likes.
    events = go_on(server, identity, events)[:45]
    kill(server)
    server = serve()
    assert text_of(go_on(server, identity, events)) == until_ended(server, identity).output_text


def test_a_conversation_goes_on_after_a_kill(serve):
    server = serve()
    asked = {"model": "default", "max_output_tokens": 8, "temperature": 0}
    first = client(server).responses.create(**asked, input="abc")
    expected = client(server).responses.create(**asked, input="def", previous_response_id=first.id).output_text
    kill(server)
    server = serve()
    assert client(server).responses.retrieve(first.id) == first
    (item,) = client(server).responses.input_items.list(first.id).data
    assert item.content[0].text == "abc"
    again = client(server).responses.create(**asked, input="def", previous_response_id=first.id)
    assert again.output_text == expected
    client(server).responses.delete(first.id)
    kill(server)
    with pytest.raises(openai.NotFoundError):
        client(serve()).responses.retrieve(first.id)


def answer(server, request_id: str) -> httpx.Response:
    ends = time.monotonic() + PATIENCE
    while True:
        answer = httpx.get(f"{server.url}/v1/requests/{request_id}/answer", timeout=PATIENCE)
        if answer.status_code != 202:
            return answer
        assert int(answer.headers["retry-after"]) >= 1 and time.monotonic() < ends, answer.text
        time.sleep(0.05)


def ask_and_leave(server, request_id: str, body: dict) -> None:
    """Sends a chat, and closes the connection as soon as its answer can be asked for."""
    sent = json.dumps(body)
    head = ["POST /v1/chat/completions HTTP/1.1", "host: localhost", "content-type: application/json"]
    head += [f"content-length: {len(sent)}", "x-parkade-detach: true", f"x-request-id: {request_id}"]
    place = urllib.parse.urlsplit(server.url)
    with socket.create_connection((place.hostname, place.port), timeout=PATIENCE) as connection:
        connection.sendall(("\r\n".join(head) + "\r\n\r\n" + sent).encode())
        ends = time.monotonic() + PATIENCE
        while httpx.get(f"{server.url}/v1/requests/{request_id}/answer", timeout=PATIENCE).status_code == 404:
            assert time.monotonic() < ends, "it never began"


@pytest.mark.parametrize("stream", [False, True])
def test_a_detached_chat_outlives_its_client_and_its_server(serve, stream):
    server = serve()
    body = {"messages": [{"role": "user", "content": "abc"}], "max_tokens": 600, "seed": 4, "model": "default", "stream": stream}
    undisturbed = httpx.post(server.url + "/v1/chat/completions", json=body, timeout=PATIENCE)
    ask_and_leave(server, "job-1", body)
    kill(server)
    kept = answer(serve(), "job-1")
    assert kept.status_code == 200, kept.text
    if stream:
        assert kept.headers["content-type"] == "text/event-stream" and kept.text.endswith("data: [DONE]\n\n")
    else:
        assert kept.json()["choices"] == undisturbed.json()["choices"]


def test_the_other_node_has_what_one_has(nodes):
    here, there = nodes
    first = client(here).responses.create(model="default", input="abc", max_output_tokens=8, temperature=0)
    assert client(there).responses.retrieve(first.id) == first
    followed = client(there).responses.create(model="default", input="def", previous_response_id=first.id, max_output_tokens=4)
    assert client(here).responses.retrieve(followed.id) == followed
    client(here).responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client(there).responses.retrieve(first.id)


def test_an_answer_is_read_and_cancelled_at_the_other_node(nodes):
    here, there = nodes
    identity, events = begin_and_read(here, 3)
    events = go_on(there, identity, events)
    assert text_of(events) == client(there).responses.retrieve(identity).output_text
    identity, _ = begin_and_read(here, 3)
    ended = client(there).responses.cancel(identity)
    assert (ended if ended.status in ENDED else until_ended(there, identity)).status in ENDED
    assert client(here).responses.retrieve(identity) == client(there).responses.retrieve(identity)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_other_node_goes_on_with_the_answer_of_one_that_ends(nodes, number):
    here, there = nodes
    identity, events = begin_and_read(here, 10)
    here.signal(number)
    events = go_on(there, identity, events)
    assert text_of(events) == until_ended(there, identity).output_text
    here.wait()
