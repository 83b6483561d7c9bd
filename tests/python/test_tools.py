"""Calls of functions and what else answers say besides their text: as the server tells it."""

import json

import httpx
import pytest

from conftest import PATIENCE
from parkade import Engine, InvalidRequestError, ToolCall

CHAT = [{"role": "user", "content": "What is the weather in Oslo, and in Rome?"}]
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"enum": ["Oslo", "Rome"]}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["city", "days"],
}
TOOLS = [{"type": "function", "function": {"name": "weather", "strict": True, "parameters": PARAMETERS}}]
CALLING = {"tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False, "seed": 5, "max_tokens": 200}


def posted(server, path, **body):
    answer = httpx.post(server.url + path, json=body, timeout=PATIENCE)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_calls_are_told_apart_from_the_text_as_the_server_does(engine, server):
    (theirs,) = posted(server, "/v1/chat/completions", messages=CHAT, **CALLING)["choices"]
    ours = engine.chat(CHAT, **CALLING)
    assert (ours.finish_reason, ours.text) == (theirs["finish_reason"], theirs["message"]["content"] or "")
    assert ours.finish_reason == "tool_calls"
    (call,) = ours.tool_calls
    function = theirs["message"]["tool_calls"][0]["function"]
    assert (call.name, call.arguments) == (function["name"], function["arguments"])
    assert json.loads(call.arguments)["city"] in ("Oslo", "Rome")
    assert call.id.startswith("call_")


def test_the_pieces_of_a_streamed_call_are_the_call(engine):
    stream = engine.stream(CHAT, **CALLING)
    text, calls, finish = "", {}, None
    for chunk in stream:
        text += chunk.text
        finish = chunk.finish_reason or finish
        for piece in chunk.tool_calls:
            if piece.name is not None:
                calls[piece.index] = ToolCall(piece.id, piece.name, "")
            call = calls[piece.index]
            calls[piece.index] = ToolCall(call.id, call.name, call.arguments + piece.arguments)
    assert (tuple(calls.values()), text, finish) == (stream.answer.tool_calls, stream.answer.text, "tool_calls")


def test_the_answer_goes_on_as_a_message(engine):
    first = engine.chat(CHAT, **CALLING)
    result = {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "rain"}
    further = engine.chat([*CHAT, first.message, result], tools=TOOLS, seed=1, max_tokens=4)
    assert further.usage.prompt_tokens > first.usage.prompt_tokens


def test_prompts_are_scored_and_their_tokens_told(engine, server):
    options = {"prompt_logprobs": 1, "return_token_ids": True, "max_tokens": 2, "temperature": 0}
    (theirs,) = posted(server, "/v1/completions", prompt="Once upon a time", **options)["choices"]
    ours = engine.complete("Once upon a time", **options)
    assert list(ours.prompt_token_ids) == theirs["prompt_token_ids"]
    assert list(ours.choices[0].token_ids) == theirs["token_ids"]
    assert (ours.prompt_logprobs[0], theirs["prompt_logprobs"][0]) == (None, None)
    for token, entries in zip(ours.prompt_logprobs[1:], theirs["prompt_logprobs"][1:]):
        assert token.logprob == pytest.approx(entries[str(token.token_id)]["logprob"])
        assert len(token.top) == 1
    unasked = engine.complete("Once upon a time", max_tokens=2)
    assert (unasked.prompt_logprobs, unasked.prompt_token_ids) == ((), None)


def test_the_best_of_several_are_those_of_the_server(engine, server):
    options = {"best_of": 4, "n": 2, "seed": 11, "temperature": 1.3, "max_tokens": 12}
    theirs = posted(server, "/v1/completions", prompt="The fox", **options)
    ours = engine.complete("The fox", **options)
    assert [choice.text for choice in ours.choices] == [choice["text"] for choice in theirs["choices"]]
    assert ours.usage.completion_tokens == theirs["usage"]["completion_tokens"]
    assert all(choice.logprobs == () for choice in ours.choices), "nobody has asked for them"
    with pytest.raises(InvalidRequestError) as refused:
        engine.stream("The fox", **options)
    assert refused.value.field == "best_of"


def test_pieces_say_what_was_used_so_far_if_asked(engine):
    usages = [chunk.usage for chunk in engine.stream(CHAT, max_tokens=5, ignore_eos=True, timings_per_token=True)]
    assert [usage.completion_tokens for usage in usages] == [1, 2, 3, 4, 5, 5]
    assert all(a.total_seconds <= b.total_seconds for a, b in zip(usages, usages[1:]))
    assert [chunk.usage for chunk in engine.stream(CHAT, max_tokens=2)][0] is None


def test_a_gap_is_refused_for_a_model_that_has_not_learnt_it(engine):
    with pytest.raises(InvalidRequestError) as refused:
        engine.complete("def add(a, b):", suffix="return total", max_tokens=4)
    assert refused.value.field == "suffix"


def test_thoughts_are_told_apart_from_the_text(tmp_path):
    template = tmp_path / "thinks.jinja"
    template.write_text(
        "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: <think>\n{% endif %}{# </think> #}"
    )
    with Engine(chat_template=str(template), kv_cache_mb=32) as engine:
        answer = engine.chat("Why?", max_tokens=8, ignore_eos=True, temperature=0)
        assert answer.reasoning and answer.text == ""
        assert answer.usage.reasoning_tokens == 8
        assert answer.message["reasoning_content"] == answer.reasoning
        pieces = list(engine.stream([{"role": "user", "content": "Why?"}], max_tokens=8, ignore_eos=True, temperature=0))
        assert "".join(piece.reasoning for piece in pieces) == answer.reasoning
