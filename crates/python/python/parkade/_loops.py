"""The side of asyncio: one bell for each event loop, whatever the number of requests."""

from __future__ import annotations

import asyncio
import itertools
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Optional, TypeVar

from . import _native
from .answers import Answer, Chunk

T = TypeVar("T")


class _News:
    """Hears the bell in an event loop, and wakes the task that waits for each stream."""

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self.bell = _native.Bell(True)
        self.keys = itertools.count()
        self.waiting: dict[int, asyncio.Future[None]] = {}
        loop.add_reader(self.bell.fileno(), self._tell)

    def _tell(self) -> None:
        for key in self.bell.take():
            future = self.waiting.get(key)
            if future is not None and not future.done():
                future.set_result(None)

    async def when(self, look: Callable[[_native.Bell, int], Optional[T]]) -> T:
        """What a look at a stream gives as soon as it is something."""
        key = next(self.keys)
        try:
            while True:
                self.waiting[key] = asyncio.get_running_loop().create_future()
                found = look(self.bell, key)
                if found:
                    return found
                await self.waiting[key]
        finally:
            self.waiting.pop(key, None)


_NEWS: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _News] = weakref.WeakKeyDictionary()


def _news() -> _News:
    loop = asyncio.get_running_loop()
    news = _NEWS.get(loop)
    if news is None:
        news = _NEWS[loop] = _News(loop)
    return news


async def _hand_in(submit: Callable[[], _native.Stream]) -> _native.Stream:
    """Hands a request in, in a thread. If the task is cancelled meanwhile, whoever comes second cancels the request.

    The future of the thread does not have the stream as its result: the loop holds that future until the task waits for something else, and a
    stream that is held is not left."""
    streams: list[_native.Stream] = []
    left = False

    def hand_in() -> None:
        stream = submit()
        streams.append(stream)
        if left:
            stream.close()

    try:
        await asyncio.to_thread(hand_in)
    except asyncio.CancelledError:
        left = True
        for stream in streams:
            stream.close()
        raise
    return streams.pop()


async def answer(submit: Callable[[], _native.Stream]) -> Answer:
    """Hands a request in and waits for its answer. Cancelling the task cancels the request."""
    with await _hand_in(submit) as stream:
        await _news().when(stream.collect)
        return stream.result()


class AsyncStream:
    """The pieces of an answer, as an asynchronous iterator. Leaving it, or cancelling the task, cancels the request."""

    def __init__(self, submit: Callable[[], _native.Stream]):
        self._submit = submit
        self._stream: Optional[_native.Stream] = None

    @property
    def answer(self) -> Optional[Answer]:
        """The whole answer, once all of it has been read."""
        return self._stream.answer if self._stream is not None else None

    def __aiter__(self) -> AsyncStream:
        return self

    async def __anext__(self) -> Chunk:
        if self._stream is None:
            self._stream = await _hand_in(self._submit)
        try:
            return await _news().when(self._stream.poll)
        except asyncio.CancelledError:
            self._stream.close()
            raise

    async def aclose(self) -> None:
        """Cancels the request, unless it has ended."""
        if self._stream is not None:
            self._stream.close()

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        await self.aclose()
