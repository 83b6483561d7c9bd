"""The engine."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Optional, Union

from . import _batches, _native
from ._native import Stream
from .answers import Answer
from .errors import InvalidRequestError
from .options import Message, Options, Prompt, Settings, request

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._loops import AsyncStream
else:
    # For whoever reads the hints at run time. asyncio is loaded with its first use, and only later Pythons have Unpack.
    from collections.abc import AsyncIterator as AsyncStream

    if sys.version_info >= (3, 11):
        from typing import Unpack


_TEXTS_AT_ONCE = 256
"""Texts that one call of the engine embeds. Between two of them Python sees to its signals."""


class Engine:
    """A model that answers in this process.

    ``model`` is what ``parkade serve --model`` takes: the path of a GGUF file, an alias, or a file of a hub repository
    that ``parkade pull`` has fetched. The settings are :class:`~parkade.options.Settings`. Any number of threads and
    tasks may share an engine, and their requests share each pass through the model. It does not survive a fork.

    >>> from parkade import Engine
    >>> with Engine(kv_cache_mb=64) as engine:
    ...     answer = engine.chat("What is the chemical formula of water?", temperature=0, max_tokens=10)
    >>> print(answer)
    The chemical formula of water is H2O.
    >>> answer.finish_reason, answer.usage.completion_tokens
    ('length', 10)
    """

    def __init__(self, model: Union[str, os.PathLike[str]] = "default", **settings: Unpack[Settings]):
        given = [("model", os.fspath(model))]
        for name, value in settings.items():
            if value is not None:
                given.append((name, str(value).lower() if isinstance(value, bool) else str(value)))
        self._native = _native.Engine(given)

    @property
    def model(self) -> str:
        """The model's name.

        >>> engine.model
        'SmolLM2-135M-Instruct.Q4_1'
        """
        return self._native.model

    def _submit(
        self, prompt: Prompt, options: Mapping[str, Any], is_chat: Optional[bool] = None, is_stream: bool = False
    ) -> Stream:
        return self._native.submit(*request(prompt, options, is_chat, is_stream))

    def chat(self, messages: Union[str, Sequence[Message]], **options: Unpack[Options]) -> Answer:
        """The model's next answer in a chat; a text is a chat of one message. The options are :class:`~parkade.options.Options`.

        >>> chat = [
        ...     {"role": "system", "content": "You answer in one word."},
        ...     {"role": "user", "content": "What is the opposite of hot?"},
        ... ]
        >>> engine.chat(chat, max_tokens=8, seed=7).usage.prompt_tokens
        27
        >>> weather = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"enum": ["Oslo"]}}}}
        >>> tools = [{"type": "function", "function": weather}]
        >>> answer = engine.chat("What is the weather in Oslo?", tools=tools, tool_choice="required", parallel_tool_calls=False)
        >>> answer.tool_calls[0].name
        'weather'
        >>> engine.chat(chat, temperature=7000)
        Traceback (most recent call last):
            ...
        parkade.errors.InvalidRequestError: temperature is 7000; it must be from 0 to 100
        """
        return self._submit(_messages(messages), options, True).result()

    def complete(self, prompt: Union[str, Sequence[int]], **options: Unpack[Options]) -> Answer:
        """Goes on with a text, or with token ids. As in OpenAI's API it writes 16 tokens unless told otherwise.

        >>> engine.complete("One, two, three,", temperature=0, max_tokens=4).text
        ' four, five,'
        """
        return self._submit(prompt, options, False).result()

    def stream(self, prompt: Prompt, **options: Unpack[Options]) -> Stream:
        """The pieces of an answer as they come: to the messages of a chat, or going on with a text.

        Leaving the loop cancels the request, if nobody else holds the stream; ``with`` and ``close()`` do in any case.

        >>> chat = [{"role": "user", "content": "What is the chemical formula of water?"}]
        >>> for chunk in engine.stream(chat, temperature=0, max_tokens=10):
        ...     print(chunk.text, end="|")
        The| chemical| formula| of| water| is| H|2|O|.||
        >>> with engine.stream(chat) as stream:
        ...     first = next(stream)
        >>> stream.answer is None
        True
        """
        return self._submit(prompt, options, is_stream=True)

    def generate(
        self,
        prompts: Iterable[Prompt],
        *,
        progress: Optional[bool] = None,
        return_exceptions: bool = False,
        **options: Unpack[Options],
    ) -> list[Answer]:
        """The answers to many prompts, in their order, as many at once as the engine runs.

        ``progress`` shows a bar if tqdm is installed: yes, no, or if standard error is a terminal. An exception ends
        the batch, unless ``return_exceptions`` puts it in its answer's place.

        >>> prompts = [f"{number} and {number} is" for number in range(20)]
        >>> answers = engine.generate(prompts, max_tokens=4, temperature=0)
        >>> answers[3].text == engine.complete(prompts[3], max_tokens=4, temperature=0).text
        True
        """
        if isinstance(prompts, (str, Mapping)):
            text = f"prompts is a {type(prompts).__name__}; it must be a list of prompts, also if there is one"
            raise InvalidRequestError(text, "invalid_type", "prompts")
        batch = list(prompts)
        with _batches.bar(len(batch), progress) as bar:
            work = _batches.Batch(lambda prompt: self._submit(prompt, options), batch, return_exceptions, bar)
            # Twice what runs, so that some are always in line.
            return work.run(most=2 * self.metrics()["sequences"]["limit"])

    async def achat(self, messages: Union[str, Sequence[Message]], **options: Unpack[Options]) -> Answer:
        """As :meth:`chat`, for asyncio. Cancelling the task cancels the request.

        >>> import asyncio
        >>> asyncio.run(engine.achat("What is the chemical formula of water?", temperature=0, max_tokens=10)).text
        'The chemical formula of water is H2O.'
        """
        from . import _loops

        return await _loops.answer(lambda: self._submit(_messages(messages), options, True))

    async def acomplete(self, prompt: Union[str, Sequence[int]], **options: Unpack[Options]) -> Answer:
        """As :meth:`complete`, for asyncio."""
        from . import _loops

        return await _loops.answer(lambda: self._submit(prompt, options, False))

    def astream(self, prompt: Prompt, **options: Unpack[Options]) -> AsyncStream:
        """As :meth:`stream`, for asyncio: an asynchronous iterator.

        >>> import asyncio
        >>> async def read():
        ...     async for chunk in engine.astream("One, two, three,", temperature=0, max_tokens=4):
        ...         print(chunk.text, end="|")
        >>> asyncio.run(read())
         four|,| five|,||
        """
        from . import _loops

        return _loops.AsyncStream(lambda: self._submit(prompt, options, is_stream=True))

    def embed(
        self,
        texts: Union[str, Sequence[str]],
        *,
        dimensions: Optional[int] = None,
        truncate: bool = False,
        tenant: Optional[str] = None,
        priority_class: Optional[str] = None,
    ) -> Any:
        """The embedding of a text, or those of several in their order: lists of floats, of length 1 as vectors.

        The model of embeddings is the one of the setting ``embedding_model``, or else the first one. ``dimensions`` keeps the
        first values only, for models that were made for that, and ``truncate`` cuts texts that are too long instead of refusing
        them.

        >>> engine.embed("A text")
        Traceback (most recent call last):
            ...
        parkade.errors.InvalidRequestError: the model 'SmolLM2-135M-Instruct.Q4_1' generates text; this path is for one that gives embeddings
        """
        is_one = isinstance(texts, str)
        listed = [texts] if is_one else list(texts)
        options = {"dimensions": dimensions, "truncate": truncate, "tenant": tenant, "priority_class": priority_class}
        found: list[list[float]] = []
        for first in range(0, len(listed), _TEXTS_AT_ONCE):
            body = {"input": listed[first : first + _TEXTS_AT_ONCE], **options}
            answer = json.loads(self._native.embed(json.dumps(body)))
            found.extend(item["embedding"] for item in answer["data"])
        return found[0] if is_one else found

    def status(self, request_id: str) -> Optional[dict[str, Any]]:
        """Where the request of this name stands: its model, state, place in line, estimated wait, tokens, age. ``None`` once it has ended.

        >>> with engine.stream("Once upon a time", max_tokens=500, request_id="tale", tenant="ada") as stream:
        ...     first = next(stream)
        ...     status = engine.status("tale")
        >>> status["state"], status["tenant"], status["prompt_tokens"]
        ('running', 'ada', 4)
        """
        status = self._native.status(request_id)
        return None if status is None else json.loads(status)

    def cancel(self, request_id: str) -> bool:
        """Cancels the request of this name, whoever waits for it; false if there is none."""
        return self._native.cancel(request_id)

    def metrics(self) -> dict[str, Any]:
        """The engine's state in figures, named as in the server's ``GET /v1/metrics``: the first model's, and each model's in ``models``.

        >>> engine.metrics()["requests"]["running"]
        0
        """
        figures: dict[str, Any] = json.loads(self._native.metrics())
        return figures

    def close(self) -> None:
        """Cancels what runs, and gives the memory back. What is asked afterwards is :class:`~parkade.EngineStoppedError`."""
        self._native.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()


def _messages(messages: Union[str, Sequence[Message]]) -> Sequence[Message]:
    return [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
