"""Many threads and tasks on one engine."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import PATIENCE, await_idle
from parkade import Engine, EngineStoppedError, InvalidRequestError

LONG = {"max_tokens": 1500, "ignore_eos": True}
COUNT = 64


def ask(engine, number):
    return engine.chat(f"What comes after {number}?", seed=number, max_tokens=12).text


@pytest.fixture(scope="session")
def alone():
    """What each is answered when nobody else asks."""
    with Engine(kv_cache_mb=64) as engine:
        return [ask(engine, number) for number in range(COUNT)]


def test_sixty_four_threads_share_an_engine(engine, alone):
    gate = threading.Barrier(COUNT)

    def one(number):
        gate.wait(PATIENCE)
        return ask(engine, number)

    with ThreadPoolExecutor(COUNT) as threads:
        assert list(threads.map(one, range(COUNT))) == alone


def test_many_threads_share_a_stream(engine):
    options = {"seed": 1, "max_tokens": 100, "ignore_eos": True}
    stream = engine.stream("Once upon a time", **options)
    with ThreadPoolExecutor(8) as threads:
        pieces = list(threads.map(lambda _: sum(1 for _ in stream), range(8)))
    assert sum(pieces) == 101, "each piece is read once"
    assert stream.answer.choices == engine.complete("Once upon a time", **options).choices


def test_who_waits_does_not_hold_the_interpreter(engine):
    """The second waits in line until this thread lets the first one go."""
    with Engine(scheduler="default", kv_cache_mb=32, max_seqs=1) as small:
        running = small.stream("Once", **LONG)
        next(running)
        with ThreadPoolExecutor(1) as threads:
            answer = threads.submit(small.complete, "Two", max_tokens=2)
            while not small.metrics()["requests"]["waiting"]:
                pass
            assert not answer.done()
            running.close()
            assert answer.result(PATIENCE).usage.completion_tokens == 2


async def test_sixty_four_tasks_share_an_engine_without_a_thread_each(engine, alone):
    before = threading.active_count()
    asked = [engine.achat(f"What comes after {number}?", seed=number, max_tokens=12) for number in range(COUNT)]
    answers = asyncio.gather(*asked)
    most = before
    while not answers.done():
        most = max(most, threading.active_count())
        await asyncio.sleep(0.001)
    assert [answer.text for answer in await answers] == alone
    assert most - before < COUNT // 2, "only asyncio's own few threads, which hand requests in"


async def test_a_stream_in_asyncio_is_its_answer(engine):
    options = {"seed": 3, "max_tokens": 20}
    stream = engine.astream("Once upon a time", **options)
    assert stream.answer is None
    text = "".join([chunk.text async for chunk in stream])
    assert text == stream.answer.text == (await engine.acomplete("Once upon a time", **options)).text
    assert [chunk async for chunk in stream] == []


async def test_cancelling_a_task_cancels_its_request(engine):
    before = engine.metrics()["totals"]["cancelled"]

    async def read():
        async for _ in engine.astream("Once", **LONG):
            begun.set()

    for work in (read, lambda: engine.acomplete("Once", **LONG)):
        begun = asyncio.Event()
        task = asyncio.ensure_future(work())
        if work is read:
            await begun.wait()
        while not engine.metrics()["requests"]["running"]:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await_idle(engine)
    assert engine.metrics()["totals"]["cancelled"] == before + 2


async def test_a_task_that_is_cancelled_while_it_hands_in_leaves_nothing(engine):
    async def first_piece():
        await anext(engine.astream("Once", **LONG))

    for work in [first_piece, lambda: engine.acomplete("Once", **LONG)] * 5:
        task = asyncio.ensure_future(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    # The loop does nothing meanwhile: that must not matter.
    await_idle(engine)


async def test_leaving_a_stream_in_asyncio_cancels_it(engine):
    before = engine.metrics()["totals"]["cancelled"]
    async for _ in engine.astream("Once", **LONG):
        break
    async with engine.astream("Once", **LONG) as stream:
        await anext(stream)
    with pytest.raises(ZeroDivisionError):
        async for _ in engine.astream("Once", **LONG):
            1 / 0
    await_idle(engine)
    assert engine.metrics()["totals"]["cancelled"] == before + 3


async def test_errors_reach_asyncio(engine):
    with pytest.raises(InvalidRequestError):
        await engine.achat("One", temperature=-1)
    with pytest.raises(InvalidRequestError):
        await anext(engine.astream("One", temperature=-1))


def test_each_event_loop_has_its_own_bell(engine, alone):
    def loop(number):
        return asyncio.run(engine.achat(f"What comes after {number}?", seed=number, max_tokens=12)).text

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(loop, range(8))) == alone[:8]


@pytest.mark.parametrize("scheduler", ["parking-lot", "default"])
async def test_tasks_hear_of_the_end_of_their_engine(scheduler):
    engine = Engine(scheduler=scheduler, kv_cache_mb=32, max_seqs=2)
    tasks = [asyncio.ensure_future(engine.acomplete(f"{number} and", **LONG)) for number in range(6)]
    while sum(engine.metrics()["requests"].values()) < 6:
        await asyncio.sleep(0.001)
    await asyncio.to_thread(engine.close)
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(end) for end in ends] == [EngineStoppedError] * 6
