"""`x-parkade-supersedes`: of an editor's requests only the last one is wanted."""

import asyncio

import openai

from test_concurrency import REQUESTS, tokens_of

KEYSTROKES = 30
LONG = {
    "model": "default",
    "messages": [{"role": "user", "content": "Count."}],
    "max_tokens": 1500,
    "extra_body": {"ignore_eos": True},
}


def keyed(user: str, **changes) -> dict:
    request = {**LONG, **changes, "user": user}
    request["extra_body"] = {**request["extra_body"], "supersedes": "main.rs"}
    return request


async def typed(client, user: str) -> list[str]:
    """Ten requests a second, the last of them a short one; what became of each."""

    async def ask(number: int) -> str:
        await asyncio.sleep(number / 10)
        last = number + 1 == KEYSTROKES
        request = keyed(user, stream=number % 2 == 0, max_tokens=4 if last else LONG["max_tokens"])
        try:
            answer = await client.chat.completions.create(**request)
            if request["stream"]:
                async for _ in answer:
                    pass
        except openai.APIError as error:
            return error.code
        return "answered"

    return await asyncio.gather(*(ask(number) for number in range(KEYSTROKES)))


async def test_ten_keystrokes_a_second_leave_one_request_and_others_alone(server, async_client):
    beside = {**REQUESTS[0], "user": "bob"}
    expected = await tokens_of(async_client, beside)
    before = await asyncio.to_thread(server.metric, "parkade_lot_requests_total", outcome="superseded")
    beside["extra_body"] = {**beside.get("extra_body", {}), "supersedes": "main.rs"}
    ada, bob = await asyncio.gather(typed(async_client, "ada"), tokens_of(async_client, beside))
    assert bob == expected
    # The last one, or on a machine that is very busy one that overtook it on its way.
    assert sorted(ada) == ["answered"] + ["superseded"] * (KEYSTROKES - 1)
    after = await asyncio.to_thread(server.metric, "parkade_lot_requests_total", outcome="superseded")
    assert after - before == KEYSTROKES - 1


async def test_the_client_does_not_try_a_superseded_request_again(server, async_client):
    retrying = async_client.with_options(max_retries=3)
    earlier = asyncio.create_task(retrying.chat.completions.with_raw_response.create(**keyed("carol")))
    while not await asyncio.to_thread(server.metric, "parkade_num_requests_running"):
        assert not earlier.done(), await earlier
        await asyncio.sleep(0.01)
    await retrying.chat.completions.create(**keyed("carol", max_tokens=1))
    try:
        await earlier
    except openai.ConflictError as error:
        assert (error.code, error.response.headers["x-should-retry"]) == ("superseded", "false")
    else:
        raise AssertionError("it was answered")
