"""What comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class TokenLogprob:
    """A token with its log-probability, and the likeliest tokens in its place with theirs."""

    token: str
    token_id: int
    logprob: float
    top: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Chunk:
    """A piece of an answer.

    ``text`` may be empty: a character may need several tokens, and what may be the beginning of a stop string is held
    back. The last piece of each answer has its ``finish_reason``, and no token.
    """

    text: str
    index: int = 0
    token_id: Optional[int] = None
    logprob: Optional[TokenLogprob] = None
    finish_reason: Optional[str] = None


@dataclass(frozen=True)
class Choice:
    """One answer: ``finish_reason`` is ``"stop"`` or ``"length"``; ``logprobs`` has one entry for each token, if asked for."""

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[TokenLogprob, ...]
    finish_reason: str


@dataclass(frozen=True)
class Usage:
    """What a request used: tokens, and times in seconds since it was handed in."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    queue_seconds: float
    first_token_seconds: Optional[float]
    total_seconds: float
    parked: int


@dataclass(frozen=True)
class Answer:
    """A whole answer: one choice for each of the request's ``n``, of which the first one is at hand."""

    id: str
    choices: tuple[Choice, ...]
    usage: Usage

    @property
    def text(self) -> str:
        """The first choice's text."""
        return self.choices[0].text

    @property
    def finish_reason(self) -> str:
        """Why the first choice ended."""
        return self.choices[0].finish_reason

    def __str__(self) -> str:
        return self.text
