"""What a request and an engine can be told, once: names, types and meanings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Optional, TypedDict, Union

from .errors import InvalidRequestError

Message = Mapping[str, Any]
"""A message of a chat: ``{"role": "user", "content": "..."}``."""

Prompt = Union[str, Sequence[int], Sequence[Message]]
"""A text or token ids to go on with, or the messages of a chat."""


class Settings(TypedDict, total=False):
    """The settings of an engine: the flags of ``parkade serve`` (``parkade serve --help``) that are not the server's own."""

    threads: int
    kv_cache_mb: int
    ctx_size: int
    embedding_model: str
    embedding_kv_mb: int
    pooling: str
    chat_template: str
    scheduler: str
    reserve: str
    max_seqs: int
    max_batched_tokens: int
    max_queue_depth: int
    prefix_cache: bool


class Scheduling(TypedDict, total=False):
    """When a request runs, and for whom.

    ``priority_class`` is ``"low"``, ``"normal"``, ``"high"`` or ``"critical"``, and ``tenant`` any name; the scheduler
    ``parking-lot`` shares by them. Times are seconds: for the whole answer, and for its first token.
    """

    request_id: Optional[str]
    tenant: Optional[str]
    priority_class: Optional[str]
    timeout: Optional[float]
    first_token_timeout: Optional[float]


class Options(Scheduling, total=False):
    """The options of a request: the fields of OpenAI's API, with their defaults, and what schedules it.

    ``priority`` orders the requests of one tenant, lower first. ``logprobs`` of a chat is a bool with ``top_logprobs``
    beside it, and of a text the number of alternatives. ``response_format``, ``json_schema``, ``regex``, ``choice`` and
    ``grammar`` (GBNF or Lark) say what the answer may be; one of them at most. Of ``best_of`` answers to a text the ``n``
    likeliest are given; ``suffix`` stands behind the gap that an answer fills, for models that have learnt that.
    ``prompt_logprobs`` (the number of alternatives) and ``best_of`` come with whole answers only. ``return_token_ids`` adds
    those of the prompt, and ``timings_per_token`` says in each piece what was used so far.
    """

    max_tokens: Optional[int]
    temperature: Optional[float]
    top_p: Optional[float]
    top_k: Optional[int]
    min_p: Optional[float]
    typical_p: Optional[float]
    presence_penalty: Optional[float]
    frequency_penalty: Optional[float]
    repetition_penalty: Optional[float]
    repeat_last_n: Optional[int]
    top_n_sigma: Optional[float]
    xtc_probability: Optional[float]
    xtc_threshold: Optional[float]
    dry_multiplier: Optional[float]
    dry_base: Optional[float]
    dry_allowed_length: Optional[int]
    dry_penalty_last_n: Optional[int]
    dry_sequence_breakers: Optional[Sequence[str]]
    logit_bias: Union[Mapping[str, Union[float, bool]], Sequence[Sequence[Any]], None]
    allowed_token_ids: Optional[Sequence[int]]
    bad_words: Optional[Sequence[str]]
    seed: Optional[int]
    stop: Union[str, Sequence[str], None]
    stop_token_ids: Optional[Sequence[int]]
    include_stop_str_in_output: Optional[bool]
    min_tokens: Optional[int]
    skip_special_tokens: Optional[bool]
    n: Optional[int]
    best_of: Optional[int]
    logprobs: Union[bool, int, None]
    top_logprobs: Optional[int]
    prompt_logprobs: Optional[int]
    return_token_ids: Optional[bool]
    timings_per_token: Optional[bool]
    suffix: Optional[str]
    ignore_eos: Optional[bool]
    response_format: Optional[Mapping[str, Any]]
    json_schema: Union[Mapping[str, Any], str, None]
    regex: Optional[str]
    choice: Optional[Sequence[str]]
    grammar: Optional[str]
    cache_salt: Optional[str]
    priority: Optional[int]
    tools: Optional[Sequence[Mapping[str, Any]]]
    tool_choice: Union[str, Mapping[str, Any], None]
    parallel_tool_calls: Optional[bool]
    reasoning_effort: Optional[str]
    enable_thinking: Optional[bool]
    thinking_budget: Optional[int]
    include_reasoning: Optional[bool]
    reasoning_format: Optional[str]
    continue_final_message: Optional[bool]
    documents: Optional[Sequence[Mapping[str, Any]]]
    chat_template_kwargs: Optional[Mapping[str, Any]]
    add_generation_prompt: Optional[bool]


# Fields of the API that are the server's, and what stands for them here.
ELSEWHERE = {
    "model": "an engine has one model",
    "stream": "call stream() or astream()",
    "stream_options": "a stream's answer has its usage",
    "echo": "put the prompt before the text yourself",
    "user": "name the tenant",
    "service_tier": "name the priority_class",
}


def request(
    prompt: Prompt, options: Mapping[str, Any], is_chat: Optional[bool] = None, is_stream: bool = False
) -> tuple[bool, str]:
    """Whether it is a chat, which the prompt tells unless it is known, and its body as JSON."""
    if not isinstance(prompt, Sequence):
        name = "messages" if is_chat else "prompt"
        text = f"the {name} is a {type(prompt).__name__}; it must be a text, a list of messages or a list of token ids"
        raise InvalidRequestError(text, "invalid_type", name)
    if is_chat is None:
        is_chat = not isinstance(prompt, str) and not (prompt and isinstance(prompt[0], int))
    members = ['"stream":true'] if is_stream else []
    for name, value in {"messages" if is_chat else "prompt": prompt, **options}.items():
        if name in ELSEWHERE:
            raise InvalidRequestError(f"{name} is no option here: {ELSEWHERE[name]}", "unsupported_parameter", name)
        try:
            member = f"{json.dumps(name)}:{json.dumps(value, allow_nan=False, ensure_ascii=False)}"
            # A lone surrogate is no text, and is said by its field here.
            member.encode()
            members.append(member)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidRequestError(f"{name} cannot be used: {error}", "invalid_type", name) from None
    return is_chat, "{" + ",".join(members) + "}"
