"""What bad input gets: a status of the table and a message that helps, through the client's own exceptions and raw."""

import asyncio
import re
import socket

import httpx
import openai
import pytest

from process import PATIENCE

MODEL = "default"
MESSAGES = [{"role": "user", "content": "Hi"}]


def chat(client, **extra):
    return client.chat.completions.create(**{"model": MODEL, "messages": MESSAGES, "max_tokens": 4, **extra})


def test_an_unknown_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as caught:
        chat(client, model="gpt-17")
    assert caught.value.code == "model_not_found"
    assert "gpt-17" in caught.value.message
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-17")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", -1),
        ("temperature", 1e9),
        ("temperature", "hot"),
        ("top_p", -0.5),
        ("top_p", 1.5),
        ("n", 0),
        ("n", 100000),
        ("max_tokens", -5),
        ("max_tokens", 1.5),
        ("max_tokens", -(2**70)),
        ("presence_penalty", 3),
        ("frequency_penalty", -3),
        ("logit_bias", {"99999999": 1}),
        ("logit_bias", {"5": "much"}),
        ("stop", [""]),
        ("stop", 5),
        ("seed", "x"),
        ("stream", "yes"),
        ("top_logprobs", 1000),
        ("messages", []),
        ("messages", "Hi"),
        ("messages", [{"content": "Hi"}]),
        ("messages", [{"role": "user", "content": 5}]),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_wrong_value_is_a_bad_request_that_names_the_field(client, field, value):
    extra = {"logprobs": True} if field == "top_logprobs" else {}
    with pytest.raises(openai.BadRequestError) as caught:
        chat(client, **extra, extra_body={field: value})
    assert caught.value.type == "invalid_request_error"
    assert caught.value.param.startswith(field)
    assert field.split("[")[0] in caught.value.message or "messages" in caught.value.param


def test_a_wrong_value_is_refused_before_a_stream_begins(client):
    with pytest.raises(openai.BadRequestError):
        chat(client, stream=True, temperature=-1)


def test_a_prompt_longer_than_the_context_is_refused_with_the_limit(client):
    with pytest.raises(openai.BadRequestError) as caught:
        chat(client, messages=[{"role": "user", "content": "word " * 9000}])
    assert caught.value.code == "context_length_exceeded"
    # What LiteLLM, aider and others look for.
    assert "this model's maximum context length is" in caught.value.message.lower()
    assert re.search(r"\(\d+ in the messages, 1 in the completion\)", caught.value.message)


def test_a_suffix_is_refused_clearly(client):
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model=MODEL, prompt="a", suffix="b")
    assert caught.value.param == "suffix"


@pytest.mark.parametrize("prompt", [[], "", [[]], [1.5], [[1], "a"], 5, {"a": 1}, [10**9], [-1], [None]], ids=str)
def test_a_prompt_that_is_none_is_a_bad_request(client, prompt):
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model=MODEL, prompt="x", max_tokens=1, extra_body={"prompt": prompt})
    assert caught.value.param.startswith("prompt")


# -- raw requests ------------------------------------------------------------------------------------------------


def envelope(answer: httpx.Response, status: int) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"] and error["type"]
    return error


def post(server, content: bytes, path="/v1/chat/completions", **headers) -> httpx.Response:
    headers = {"content-type": "application/json", **headers}
    return httpx.post(server.url + path, content=content, headers=headers, timeout=PATIENCE)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b'{"model": "default", "messages": [}',
        b'{"model": "default"}',
        b'{"messages": [{"role": "user", "content": "\xff\xfe"}]}',
        b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"temperature": NaN, "messages": [{"role": "user", "content": "x"}]}',
        b'{"temperature": 1e999, "messages": [{"role": "user", "content": "x"}]}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"messages": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    ],
    ids=lambda body: repr(body[:40]),
)
def test_a_malformed_body_is_a_bad_request_in_the_envelope(server, body):
    error = envelope(post(server, body), 400)
    assert error["type"] == "invalid_request_error"


def test_an_unknown_path_and_a_wrong_method_get_the_envelope(server):
    envelope(httpx.get(server.url + "/v1/nothing", timeout=PATIENCE), 404)
    envelope(httpx.get(server.url + "/", timeout=PATIENCE), 404)
    wrong = httpx.get(server.url + "/v1/chat/completions", timeout=PATIENCE)
    envelope(wrong, 405)
    assert "POST" in wrong.headers["allow"]
    envelope(httpx.delete(server.url + "/v1/models"), 405)


def test_a_body_over_the_limit_is_refused(server):
    envelope(post(server, b'{"messages": "' + b"x" * (9 << 20) + b'"}'), 413)


def test_every_answer_carries_a_request_id_and_the_clients_own_is_kept(server):
    for answer in (server.get("/v1/models"), httpx.get(server.url + "/v1/nothing", timeout=PATIENCE), post(server, b"{")):
        assert answer.headers["x-request-id"]
    named = httpx.get(server.url + "/v1/models", headers={"x-request-id": "mine-1"}, timeout=PATIENCE)
    assert named.headers["x-request-id"] == "mine-1"


def test_text_outside_of_ascii_comes_back_whole(server):
    body = '{"model":"default","prompt":"Zażółć gęślą 🙂 日本","max_tokens":1,"echo":true}'.encode()
    assert post(server, body, "/v1/completions").json()["choices"][0]["text"].startswith("Zażółć gęślą 🙂 日本")


def test_a_head_over_the_limit_ends_that_connection_only(server):
    answer = httpx.get(server.url + "/v1/models", headers={"x-long": "y" * 200_000}, timeout=PATIENCE)
    assert answer.status_code == 431
    assert server.get("/v1/models").status_code == 200


@pytest.mark.parametrize("noise", [b"\x16\x03\x01\x02\x00\x01\x00\x01", b"hello\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\0" * 100, b"POST /v1/completions HTTP/1.1\r\ncontent-length: -1\r\n\r\n"])
def test_what_is_no_http_ends_that_connection_only(server, noise):
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
        connection.sendall(noise)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(4096):
            answer += piece
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    assert server.get("/v1/models").status_code == 200


async def test_bad_requests_in_between_do_not_disturb_a_running_stream(server):
    async with openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="unused", max_retries=0) as client:
        settings = {"model": MODEL, "prompt": "1, 2, 3,", "max_tokens": 60, "temperature": 0}
        alone = (await client.completions.create(**settings)).choices[0].text

        # One client: making each takes so long on a busy machine that the first one's body would come too late.
        async with httpx.AsyncClient(timeout=PATIENCE) as raw:

            async def bad(i: int):
                body = [b"{", b"[" * 1000, b'{"prompt": [99999999], "max_tokens": 1}', b'{"prompt": ""}'][i % 4]
                answer = await raw.post(server.url + "/v1/completions", content=body, headers={"content-type": "application/json"})
                assert answer.status_code == 400

            answer, *_ = await asyncio.gather(client.completions.create(**settings), *(bad(i) for i in range(40)))
    assert answer.choices[0].text == alone
