"""Anthropic's Messages through its official client."""

import json

import anthropic
import pytest

from process import PATIENCE

MODEL = "default"
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOL = {"name": "weather", "description": "Tells the weather.", "input_schema": SCHEMA}
ASK = [{"role": "user", "content": "What is the weather in Paris?"}]


@pytest.fixture
def claude(server):
    with anthropic.Anthropic(base_url=server.url, api_key="unused", max_retries=0, timeout=PATIENCE) as client:
        yield client


def create(client, extra_body=None, **extra):
    # The client no longer has a parameter of this name.
    body = {key: extra.pop(key) for key in ("temperature",) if key in extra} | (extra_body or {})
    return client.messages.create(**{"model": MODEL, "max_tokens": 12, "messages": ASK, **extra}, extra_body=body)


def test_a_message_is_what_a_chat_says(claude, client):
    message = create(claude, temperature=0, system="Be brief.")
    messages = [{"role": "system", "content": "Be brief."}, *ASK]
    chat = client.chat.completions.create(model=MODEL, messages=messages, max_tokens=12, temperature=0)
    (block,) = message.content
    assert block.type == "text" and block.text == chat.choices[0].message.content
    usage = message.usage
    assert usage.input_tokens + usage.cache_read_input_tokens == chat.usage.prompt_tokens
    assert usage.output_tokens == chat.usage.completion_tokens
    reasons = {"stop": "end_turn", "length": "max_tokens"}
    assert message.stop_reason == reasons[chat.choices[0].finish_reason]


def test_a_stream_says_what_the_whole_message_does(claude):
    whole = create(claude, temperature=0)
    with claude.messages.stream(model=MODEL, max_tokens=12, messages=ASK, extra_body={"temperature": 0}) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop"
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == len(final.content)
    assert [block.text for block in final.content] == [block.text for block in whole.content]
    assert final.stop_reason == whole.stop_reason
    total = lambda usage: usage.input_tokens + usage.cache_read_input_tokens
    assert total(final.usage) == total(whole.usage) and final.usage.output_tokens == whole.usage.output_tokens


@pytest.mark.parametrize("most", range(6, 30, 4))
def test_a_call_that_is_cut_has_the_members_that_are_whole_in_both_ways(claude, most):
    ask = dict(max_tokens=most, tools=[TOOL], tool_choice={"type": "tool", "name": "weather"})
    whole = create(claude, temperature=0, **ask)
    with claude.messages.stream(model=MODEL, messages=ASK, extra_body={"temperature": 0}, **ask) as stream:
        final = stream.get_final_message()
    said = lambda message: [(block.type, getattr(block, "input", None)) for block in message.content if block.type == "tool_use"]
    assert said(whole) == said(final)
    assert whole.stop_reason == final.stop_reason
    if whole.stop_reason == "max_tokens":
        assert all(set(block.input) <= {"city", "days"} for block in whole.content if block.type == "tool_use")


@pytest.mark.parametrize("choice", [{"type": "any", "disable_parallel_tool_use": True}, {"type": "tool", "name": "weather"}])
def test_a_tool_is_used_with_valid_input(claude, choice):
    message = create(claude, tools=[TOOL], tool_choice=choice, max_tokens=200)
    (block,) = message.content
    assert message.stop_reason == "tool_use" and block.type == "tool_use" and block.name == "weather"
    assert set(block.input) == {"city", "days"} and 1 <= block.input["days"] <= 9
    with claude.messages.stream(
        model=MODEL, max_tokens=200, messages=ASK, tools=[TOOL], tool_choice=choice
    ) as stream:
        final = stream.get_final_message()
    assert final.stop_reason == "tool_use" and set(final.content[0].input) == {"city", "days"}


def test_results_reach_the_model(claude):
    used = create(claude, tools=[TOOL], tool_choice={"type": "tool", "name": "weather"}, max_tokens=200)
    block = used.content[0]
    result = {"type": "tool_result", "tool_use_id": block.id, "content": [{"type": "text", "text": "It rains."}]}
    messages = [
        *ASK,
        {"role": "assistant", "content": [item.to_dict() for item in used.content]},
        {"role": "user", "content": [result, {"type": "text", "text": "So?"}]},
    ]
    message = create(claude, messages=messages, tools=[TOOL])
    assert message.usage.input_tokens + message.usage.cache_read_input_tokens > 40


def test_an_answer_goes_on_with_its_beginning(claude):
    begun = [*ASK, {"role": "assistant", "content": "The weather in Paris is"}]
    message = create(claude, messages=begun, temperature=0)
    assert message.content[0].text
    assert claude.messages.count_tokens(model=MODEL, messages=begun).input_tokens > (
        claude.messages.count_tokens(model=MODEL, messages=ASK).input_tokens
    )


def test_stop_sequences_end_it(claude):
    text = create(claude, temperature=0, max_tokens=30).content[0].text
    word = text.split()[2]
    message = create(claude, temperature=0, max_tokens=30, stop_sequences=[word])
    assert message.stop_reason == "stop_sequence" and message.stop_sequence == word
    assert message.content[0].text == text[: text.index(word)]


def test_system_prompts_are_text_or_blocks_and_headers_of_agents_do_not_count(claude):
    count = lambda system: claude.messages.count_tokens(model=MODEL, messages=ASK, system=system).input_tokens
    said = "You help with code. " * 10
    blocks = [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.0; cch=1a2b3;"},
        {"type": "text", "text": said, "cache_control": {"type": "ephemeral"}},
    ]
    assert count(said.strip()) <= count(blocks) <= count(said.strip()) + 1
    create(claude, system=blocks)
    other = [{"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.0; cch=99999;"}, blocks[1]]
    usage = create(claude, system=other).usage
    assert usage.cache_read_input_tokens >= usage.input_tokens + usage.cache_read_input_tokens - 17


def test_an_answer_has_the_form_of_a_schema(claude):
    form = {"format": {"type": "json_schema", "schema": SCHEMA}}
    message = create(claude, max_tokens=200, extra_body={"output_config": form})
    assert set(json.loads(message.content[0].text)) == {"city", "days"}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, "messages[0].content[0].type"),
        ({"system": 5}, "system"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tool_choice": {"type": "tool", "name": "f"}}, "tool_choice"),
        ({"thinking": {"type": "enabled", "budget_tokens": "many"}}, "thinking.budget_tokens"),
        ({"mcp_servers": [{"name": "a"}]}, "mcp_servers"),
        ({"thread": {"type": "continue", "previous_message_id": "msg_1"}}, "thread"),
        ({"stop_sequences": [""]}, "stop_sequences[0]"),
        ({"metadata": {"user_id": 5}}, "metadata.user_id"),
        ({"temperature": "hot"}, "temperature"),
    ],
)
def test_what_is_wrong_is_named_in_anthropics_form(claude, body, param):
    with pytest.raises(anthropic.BadRequestError) as refused:
        create(claude, extra_body=body)
    error = refused.value.body
    assert error["type"] == "error" and error["error"]["type"] == "invalid_request_error"
    assert error["error"]["param"] == param


def test_a_model_that_is_not_there_is_not_found(claude):
    with pytest.raises(anthropic.NotFoundError) as refused:
        create(claude, model="nowhere")
    assert refused.value.body["error"]["type"] == "not_found_error"


async def test_the_async_client_does_the_same(server):
    async with anthropic.AsyncAnthropic(base_url=server.url, api_key="unused", timeout=PATIENCE) as client:
        message = await client.messages.create(model=MODEL, max_tokens=5, messages=ASK)
        assert message.content[0].text
        async with client.messages.stream(model=MODEL, max_tokens=5, messages=ASK) as stream:
            assert "".join([text async for text in stream.text_stream])
