"""What comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional


@dataclass(frozen=True)
class TokenLogprob:
    """A token with its log-probability, and the likeliest tokens in its place with theirs."""

    token: str
    token_id: int
    logprob: float
    top: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Usage:
    """What a request used: tokens, and times in seconds since it was handed in.

    ``reasoning_tokens`` are those of ``completion_tokens`` that were thoughts.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    queue_seconds: float
    first_token_seconds: Optional[float]
    total_seconds: float
    parked: int
    reasoning_tokens: int = 0


@dataclass(frozen=True)
class ToolCall:
    """A call of a function: ``arguments`` are JSON, unless the answer was cut in them."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class ToolCallChunk:
    """A piece of the call of this number: its ``id`` and ``name`` come once and first, then more of its ``arguments``."""

    index: int
    id: Optional[str]
    name: Optional[str]
    arguments: str


@dataclass(frozen=True)
class Chunk:
    """A piece of an answer: what one token brought.

    ``text`` is what was said, ``reasoning`` what was thought. All may be empty: a character may need several tokens, and
    what may be the beginning of a stop string or of a call is held back. The last piece of each answer has its
    ``finish_reason``, and no token. ``usage`` is what was used so far, with ``timings_per_token``; what is known at the end
    only (the queue, cached tokens) is 0 in it.
    """

    text: str
    index: int = 0
    token_id: Optional[int] = None
    logprob: Optional[TokenLogprob] = None
    finish_reason: Optional[str] = None
    reasoning: str = ""
    tool_calls: tuple[ToolCallChunk, ...] = ()
    usage: Optional[Usage] = None


@dataclass(frozen=True)
class Choice:
    """One answer: what was said, what was thought, and the functions that were called.

    ``finish_reason`` is ``"stop"``, ``"length"`` or ``"tool_calls"``; ``logprobs`` has one entry for each token, if asked for.
    """

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[TokenLogprob, ...]
    finish_reason: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()

    @property
    def message(self) -> dict[str, Any]:
        """The answer as a message of a chat, to go on from."""
        message: dict[str, Any] = {"role": "assistant", "content": self.text}
        if self.reasoning:
            message["reasoning_content"] = self.reasoning
        if self.tool_calls:
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in self.tool_calls
            ]
        return message


@dataclass(frozen=True)
class Answer:
    """A whole answer: one choice for each of the request's ``n``, of which the first one is at hand.

    ``prompt_logprobs`` has one entry for each token of the prompt, if asked for: ``None`` for the first one, which nothing
    comes before. ``prompt_token_ids`` are there with ``return_token_ids``.
    """

    id: str
    choices: tuple[Choice, ...]
    usage: Usage
    prompt_logprobs: tuple[Optional[TokenLogprob], ...] = ()
    prompt_token_ids: Optional[tuple[int, ...]] = None

    @property
    def text(self) -> str:
        """The first choice's text."""
        return self.choices[0].text

    @property
    def reasoning(self) -> str:
        """What the model thought before the first choice."""
        return self.choices[0].reasoning

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The functions that the first choice calls."""
        return self.choices[0].tool_calls

    @property
    def message(self) -> dict[str, Any]:
        """The first choice as a message of a chat, to go on from."""
        return self.choices[0].message

    @property
    def finish_reason(self) -> str:
        """Why the first choice ended."""
        return self.choices[0].finish_reason

    def __str__(self) -> str:
        return self.text
