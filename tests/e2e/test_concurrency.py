"""Many clients at once: none changes another's answer, none leaves anything behind."""

import asyncio
import random
import socket

import httpx
import pytest

from process import PATIENCE

MODEL = "default"
# Sixteen requests of different prompts, lengths and ways to pick tokens.
REQUESTS = [
    {
        "messages": [{"role": "user", "content": f"Tell me {i + 2} facts about the number {i}. " + "Be precise. " * (i * 3)}],
        "max_tokens": 6 + 5 * i,
        **({"temperature": 0} if i % 2 == 0 else {"temperature": 1.0, "top_p": 0.9, "seed": 100 + i, "presence_penalty": 0.3}),
        "logprobs": True,
    }
    for i in range(16)
]


async def tokens_of(client, request, before=0.0):
    await asyncio.sleep(before)
    stream = await client.chat.completions.create(model=MODEL, stream=True, **request)
    tokens = []
    async for chunk in stream:
        for choice in chunk.choices:
            # The log-probabilities are compared too: they show differences that do not change the text.
            tokens += [(entry.token, entry.logprob) for entry in (choice.logprobs.content or [] if choice.logprobs else [])]
    return tokens


async def test_sixteen_streams_each_get_exactly_the_tokens_that_they_get_alone(async_client):
    alone = [await tokens_of(async_client, request) for request in REQUESTS]
    assert all(alone)
    together = await asyncio.gather(*(tokens_of(async_client, request) for request in REQUESTS))
    assert together == alone


async def test_streams_that_come_and_go_do_not_change_those_that_run(async_client):
    alone = [await tokens_of(async_client, request) for request in REQUESTS[:6]]
    order = random.Random(4)

    async def one_that_leaves():
        await asyncio.sleep(order.random())
        stream = await async_client.chat.completions.create(model=MODEL, stream=True, **REQUESTS[15])
        async for _ in stream:
            if order.random() < 0.2:
                break
        await stream.close()

    staying = [tokens_of(async_client, request, before=order.random() / 4) for request in REQUESTS[:6]]
    results = await asyncio.gather(*staying, *(one_that_leaves() for _ in range(10)))
    assert results[:6] == alone


async def test_a_cancelled_stream_frees_its_blocks(server, async_client):
    long = {"messages": [{"role": "user", "content": "Write a very long story."}], "max_tokens": 1500, "extra_body": {"ignore_eos": True}}
    streams = [await async_client.chat.completions.create(model=MODEL, stream=True, **long) for _ in range(4)]
    for stream in streams:
        await anext(aiter(stream))
    assert await asyncio.to_thread(server.metric, "parkade_kv_blocks_used") > 0
    aborted = await asyncio.to_thread(aborts, server)
    for stream in streams:
        await stream.close()
    await asyncio.to_thread(server.await_idle)
    assert await asyncio.to_thread(aborts, server) == aborted + 4


def aborts(server) -> float:
    try:
        return server.metric("parkade_request_success_total", finished_reason="abort")
    except AssertionError:
        return 0.0


async def test_a_client_that_does_not_wait_for_a_whole_answer_frees_its_blocks(server):
    body = {"model": MODEL, "prompt": "Once upon a time", "max_tokens": 1500, "ignore_eos": True}
    async with httpx.AsyncClient(base_url=server.url) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post("/v1/completions", json=body, timeout=0.5)
    await asyncio.to_thread(server.await_idle)


def test_clients_that_vanish_at_any_moment_are_forgotten(server):
    body = b'{"model":"default","prompt":"Once","max_tokens":200,"stream":true}'
    head = b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    whole = head + body
    host, port = server.url.removeprefix("http://").split(":")
    for cut in [0, 1, 10, len(head) - 2, len(head), len(head) + 5, len(whole) - 1, len(whole)]:
        for wait_for_bytes in (0, 1, 2000):
            with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
                connection.sendall(whole[:cut])
                if wait_for_bytes and cut == len(whole):
                    got = 0
                    while got < wait_for_bytes:
                        got += len(connection.recv(4096))
                # An abrupt end: a reset instead of an orderly close.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    server.await_idle()
    assert server.get("/health/ready").status_code == 200


async def test_two_hundred_connections_at_once_all_get_their_answers(server):
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
    async with httpx.AsyncClient(base_url=server.url, limits=limits, timeout=PATIENCE) as client:

        async def one(i: int) -> tuple[int, str]:
            body = {"model": MODEL, "prompt": f"{i % 10}, {i % 10 + 1},", "max_tokens": 4, "temperature": 0}
            answer = await client.post("/v1/completions", json=body)
            return answer.status_code, answer.json()["choices"][0]["text"]

        alone = [(await one(i))[1] for i in range(10)]
        answers = await asyncio.gather(*(one(i) for i in range(200)))
    assert [status for status, _ in answers] == [200] * 200
    assert [text for _, text in answers] == [alone[i % 10] for i in range(200)]


async def test_a_reader_that_stops_reading_holds_up_nobody_else(server, async_client):
    body = b'{"model":"default","prompt":"Once","max_tokens":1500,"ignore_eos":true,"stream":true,"logprobs":5}'
    head = b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    host, port = server.url.removeprefix("http://").split(":")
    with socket.socket() as idle:
        idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        idle.connect((host, int(port)))
        idle.sendall(head + body)
        await asyncio.sleep(0.5)
        for request in REQUESTS[:3]:
            assert await tokens_of(async_client, request)
