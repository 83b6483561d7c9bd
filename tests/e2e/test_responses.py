"""OpenAI's Responses through the official client: whole, streamed, continued, kept, in the background."""

import json
import time

import openai
import pytest

MODEL = "default"
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "large": {"type": "boolean"}},
    "required": ["name", "large"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "name": "look_up", "parameters": SCHEMA, "strict": True}


def create(client, **extra):
    return client.responses.create(**{"model": MODEL, "input": "Say hello.", "max_output_tokens": 12, **extra})


def test_a_response_has_its_text_and_its_usage(client):
    response = create(client)
    assert response.object == "response" and response.id.startswith("resp_")
    assert response.status in ("completed", "incomplete")
    (message,) = response.output
    assert message.type == "message" and message.role == "assistant" and response.output_text
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
    if response.status == "incomplete":
        assert response.incomplete_details.reason == "max_output_tokens"


def test_it_is_what_a_chat_says(client):
    response = create(client, temperature=0, instructions="Be brief.")
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say hello."}]
    chat = client.chat.completions.create(model=MODEL, messages=messages, max_tokens=12, temperature=0)
    assert response.output_text == chat.choices[0].message.content
    assert response.usage.input_tokens == chat.usage.prompt_tokens


def test_a_stream_has_all_events_in_order(client):
    events = list(create(client, stream=True, temperature=0))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-4:-1] == ["response.output_text.done", "response.content_part.done", "response.output_item.done"]
    assert kinds[-1] in ("response.completed", "response.incomplete")
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == events[-1].response.output_text == create(client, temperature=0).output_text
    assert next(event.text for event in events if event.type == "response.output_text.done") == text


def test_a_conversation_goes_on(client):
    first = create(client, temperature=0, instructions="Be brief.")
    second = create(client, input="And again.", previous_response_id=first.id, temperature=0)
    messages = [
        {"role": "user", "content": "Say hello."},
        {"role": "assistant", "content": first.output_text},
        {"role": "user", "content": "And again."},
    ]
    chat = client.chat.completions.create(model=MODEL, messages=messages, max_tokens=12, temperature=0)
    assert second.output_text == chat.choices[0].message.content, "instructions hold for one answer"
    third = create(client, input="Once more.", previous_response_id=second.id)
    assert third.usage.input_tokens > second.usage.input_tokens
    assert third.usage.input_tokens_details.cached_tokens > 0


def test_a_function_is_called_and_its_result_goes_on(client):
    response = create(client, tools=[TOOL], tool_choice={"type": "function", "name": "look_up"}, max_output_tokens=100)
    (call,) = response.output
    assert call.type == "function_call" and call.name == "look_up" and response.status == "completed"
    assert set(json.loads(call.arguments)) == {"name", "large"}
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "It is large."}
    by_id = create(client, input=[result], previous_response_id=response.id, tools=[TOOL], temperature=0)
    sent = [{"role": "user", "content": "Say hello."}, call.to_dict(), result]
    by_items = create(client, input=sent, tools=[TOOL], store=False, temperature=0)
    assert by_id.output_text == by_items.output_text


def test_a_call_is_streamed(client):
    with client.responses.stream(
        model=MODEL, input="Look it up.", tools=[TOOL], tool_choice="required", parallel_tool_calls=False
    ) as stream:
        deltas = "".join(e.delta for e in stream if e.type == "response.function_call_arguments.delta")
        (call,) = stream.get_final_response().output
    assert deltas == call.arguments and set(json.loads(deltas)) == {"name", "large"}


def test_text_has_a_form(client):
    text = {"format": {"type": "json_schema", "name": "city", "schema": SCHEMA, "strict": True}}
    response = create(client, text=text, max_output_tokens=100)
    assert set(json.loads(response.output_text)) == {"name", "large"}
    assert response.text.format.type == "json_schema"


def test_what_is_kept_can_be_asked_for_and_deleted(client):
    response = create(client, metadata={"a": "b"})
    kept = client.responses.retrieve(response.id)
    assert kept == response and kept.metadata == {"a": "b"}
    items = client.responses.input_items.list(response.id).data
    assert [item.content[0].text for item in items] == ["Say hello."]
    client.responses.delete(response.id)
    for ask in (client.responses.retrieve, client.responses.delete, client.responses.input_items.list):
        with pytest.raises(openai.NotFoundError):
            ask(response.id)
    with pytest.raises(openai.BadRequestError) as refused:
        create(client, previous_response_id=response.id)
    assert refused.value.code == "previous_response_not_found"
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(create(client, store=False).id)


def test_items_of_input_come_in_pages(client):
    sent = [{"role": "user", "content": f"{i}"} for i in range(7)]
    response = create(client, input=sent, max_output_tokens=1)
    listed = list(client.responses.input_items.list(response.id, limit=3, order="asc"))
    assert [item.content if isinstance(item.content, str) else item.content[0].text for item in listed] == list("0123456")
    newest = client.responses.input_items.list(response.id, limit=1).data[0]
    assert "6" in str(newest.content)


def await_end(client, response):
    for _ in range(600):
        response = client.responses.retrieve(response.id)
        if response.status not in ("queued", "in_progress"):
            return response
        time.sleep(0.1)
    raise AssertionError(response)


def test_an_answer_in_the_background_needs_no_reader(client):
    begun = create(client, background=True, temperature=0)
    assert begun.status in ("queued", "in_progress") and begun.output == []
    ended = await_end(client, begun)
    assert ended.output_text == create(client, temperature=0).output_text
    assert client.responses.retrieve(begun.id) == ended


def test_its_events_can_be_read_from_any_number(client):
    begun = create(client, background=True, stream=True)
    events = [event for event, _ in zip(begun, range(4))]
    begun.close()
    identity = events[0].response.id
    rest = list(client.responses.retrieve(identity, stream=True, starting_after=3))
    numbers = [event.sequence_number for event in rest]
    assert numbers == list(range(4, 4 + len(rest))) and rest[-1].type in ("response.completed", "response.incomplete")
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.retrieve(identity, stream=True, starting_after=len(rest) + 99)
    assert refused.value.code == "out_of_range"
    again = list(client.responses.retrieve(identity, stream=True))
    assert [event.sequence_number for event in again] == list(range(4 + len(rest)))
    assert again[-1].response.output_text == client.responses.retrieve(identity).output_text


def test_an_answer_in_the_background_can_be_cancelled(client):
    begun = create(client, background=True, max_output_tokens=4000, extra_body={"logit_bias": {"2": -100}})
    assert client.responses.cancel(begun.id).status == "cancelled"
    assert client.responses.retrieve(begun.id).status == "cancelled", "at once"
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.cancel(create(client).id)
    assert refused.value.code == "not_cancellable"


def test_tokens_are_counted(client):
    counted = client.responses.input_tokens.count(model=MODEL, input="Say hello.")
    assert counted.input_tokens == create(client).usage.input_tokens


async def test_the_async_client_does_the_same(async_client):
    response = await async_client.responses.create(model=MODEL, input="Hi", max_output_tokens=5)
    assert response.output_text
    async with async_client.responses.stream(model=MODEL, input="Hi", temperature=0) as stream:
        final = await stream.get_final_response()
    assert final.status == "completed" and final.output_text


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": 5}, "input"),
        ({"input": [{"type": "message", "role": "wizard", "content": "a"}]}, "input[0].role"),
        ({"input": [{"type": "message", "role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].type"),
        ({"input": [{"type": "item_reference", "id": "nowhere"}]}, "input[0].id"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "name": "g"}}, "tool_choice"),
        ({"background": True, "store": False}, "background"),
        ({"truncation": "auto"}, "truncation"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "name": "a"}}}, "text.format.schema"),
        ({"metadata": {"a": 5}}, "metadata"),
        ({"safety_identifier": -1}, "safety_identifier"),
        ({"prompt_cache_key": 5}, "prompt_cache_key"),
        ({"max_tool_calls": 0}, "max_tool_calls"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"include": "reasoning.encrypted_content"}, "include"),
        ({"include": ["reasoning.encrypted_content", "everything"]}, "include[1]"),
        ({"include": ["message.output_text.logprobs"]}, "include[0]"),
        ({"include": [5]}, "include[0]"),
        ({"stream_options": True}, "stream_options"),
        ({"stream_options": {"include_obfuscation": 1}}, "stream_options.include_obfuscation"),
        ({"temperature": -1}, "temperature"),
    ],
)
def test_what_is_wrong_is_named(client, body, param):
    with pytest.raises(openai.BadRequestError) as refused:
        create(client, extra_body=body)
    assert refused.value.param == param


def test_what_asks_for_what_is_never_there_passes_and_what_is_unknown_is_told(client):
    options = {"include": ["reasoning.encrypted_content", "web_search_call.action.sources"], "stream_options": {"include_obfuscation": False}}
    response = client.responses.with_raw_response.create(model=MODEL, input="Hi", max_output_tokens=2, extra_body=options)
    assert "x-parkade-ignored-fields" not in response.headers
    options["stream_options"]["padding"] = 5
    response = client.responses.with_raw_response.create(model=MODEL, input="Hi", max_output_tokens=2, extra_body=options)
    assert response.headers["x-parkade-ignored-fields"] == "stream_options.padding"
