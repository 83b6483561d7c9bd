"""`--scheduler parking-lot`: the same answers as ever, whatever is parked meanwhile."""

import asyncio

import httpx
import openai
import pytest

from test_concurrency import REQUESTS, tokens_of

from process import PATIENCE


TIGHT = ["--kv-cache-mb", "8"]
SHORT = [{"role": "user", "content": "Tell me something."}]


def async_client(server):
    return openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="unused", max_retries=0, timeout=PATIENCE)


async def answers(server, requests) -> list:
    async with async_client(server) as client:
        return await asyncio.gather(*(tokens_of(client, request) for request in requests))


@pytest.mark.parametrize("budget", [[], TIGHT, [*TIGHT, "--reserve", "full"]], ids=["roomy", "tight", "tight and careful"])
async def test_every_stream_gets_the_tokens_that_the_default_scheduler_gives_it(start, budget):
    # Answers that all turn out as long as they may be: more than a prediction expects.
    requests = [{**request, "messages": SHORT, "max_tokens": 120, "extra_body": {"ignore_eos": True}} for request in REQUESTS[:8]]
    requests = [{**request, "seed": i} for i, request in enumerate(requests)]
    plain = await asyncio.to_thread(start, "--scheduler", "default")
    expected = await answers(plain, requests)
    lot = await asyncio.to_thread(start, "--scheduler", "parking-lot", *budget)
    if budget:
        # Short answers first, so that the prediction is short.
        await answers(lot, [{"messages": SHORT, "max_tokens": 4, "logprobs": True}] * 40)
    assert await answers(lot, requests) == expected
    parked = await asyncio.to_thread(lot.metric, "parkade_num_preemptions_total")
    assert (parked > 0) == (budget == TIGHT)
    await asyncio.to_thread(lot.await_idle)


async def test_a_deadline_that_passes_is_refused_and_says_so(start):
    lot = await asyncio.to_thread(start, "--scheduler", "parking-lot")
    body = {"prompt": "Once upon a time", "max_tokens": 1500, "ignore_eos": True}
    async with httpx.AsyncClient(base_url=lot.url, timeout=PATIENCE) as client:
        answer = await client.post("/v1/completions", json=body, headers={"x-request-timeout-ms": "300"})
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "deadline_exceeded"
    assert answer.headers["x-should-retry"] == "false"
    await asyncio.to_thread(lot.await_idle)


async def test_a_stream_of_a_lower_class_is_not_harmed_by_a_higher_one(start):
    lot = await asyncio.to_thread(start, "--scheduler", "parking-lot", "--kv-cache-mb", "12")
    low = {**REQUESTS[8], "max_tokens": 120, "service_tier": "flex"}
    async with async_client(lot) as client:
        alone = await tokens_of(client, low)
        urgent = [tokens_of(client, {**request, "service_tier": "priority"}, before=0.1) for request in REQUESTS[:8]]
        beside, *_ = await asyncio.gather(tokens_of(client, low), *urgent)
    assert beside == alone
