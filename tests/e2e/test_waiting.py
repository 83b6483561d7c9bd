"""What a stream says while its request waits, and that clients skip it."""

import asyncio
import re

import httpx
import openai
import pytest

from process import PATIENCE

PROMPT = [{"role": "user", "content": "Count."}]
WAITS = {"model": "default", "messages": PROMPT, "max_tokens": 4, "stream": True}


@pytest.fixture
async def busy(start):
    """A server that runs one request at once, and runs one: it goes on until the test lets it go."""
    server = await asyncio.to_thread(start, "--max-seqs", "1")
    async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE) as client:
        # Once something has run, rates are known.
        assert (await client.post("/v1/chat/completions", json={"messages": PROMPT, "max_tokens": 4})).status_code == 200
        body = {"messages": PROMPT, "max_tokens": 1900, "ignore_eos": True, "stream": True}
        async with client.stream("POST", "/v1/chat/completions", json=body) as running:
            lines = running.aiter_lines()
            await anext(lines)

            async def let_go():
                await running.aclose()

            yield server, let_go


async def test_a_stream_in_line_says_each_second_how_it_stands(busy):
    server, let_go = busy
    async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE) as client:
        async with client.stream("POST", "/v1/chat/completions", json=WAITS) as answer:
            assert answer.status_code == 200
            assert answer.headers["x-parkade-queue-position"] == "1"
            assert int(answer.headers["x-parkade-estimated-wait-ms"]) > 0
            comments = []
            async for line in answer.aiter_lines():
                if line.startswith(":"):
                    comments.append(line)
                if len(comments) == 2:
                    await let_go()
            assert line == "" or line == "data: [DONE]"
            assert all(re.fullmatch(r": queued 1, about \d+ s", comment) for comment in comments), comments


async def test_the_client_skips_the_comments(busy):
    server, let_go = busy
    async with openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="unused", max_retries=0, timeout=PATIENCE) as client:
        # The head comes while the request waits: there are comments behind it.
        stream = await client.chat.completions.create(**WAITS)
        assert stream.response.headers["x-parkade-queue-position"] == "1"
        await let_go()
        chunks = [chunk async for chunk in stream]
    assert chunks[-1].choices[0].finish_reason in ("length", "stop")
