"""What the official clients build upon the API: parsed answers and calls, streams that add up, runners of tools."""

from typing import Literal

import anthropic
import openai
import pytest
from pydantic import BaseModel, Field

from process import PATIENCE, data_directory

MODEL = "default"
ASK = [{"role": "user", "content": "What is the weather in Paris?"}]


class Weather(BaseModel):
    """Tells the weather."""

    city: str = Field(max_length=20)
    days: int = Field(ge=1, le=9)


CALL = {
    "tools": [openai.pydantic_function_tool(Weather, name="weather")],
    "tool_choice": "required",
    "parallel_tool_calls": False,
    "max_tokens": 100,
}


def test_parse_gives_the_arguments_of_a_call(client):
    message = client.chat.completions.parse(model=MODEL, messages=ASK, seed=1, **CALL).choices[0].message
    (call,) = message.tool_calls
    assert isinstance(call.function.parsed_arguments, Weather)


async def test_the_async_parse_does_the_same(client, async_client):
    request = {"model": MODEL, "messages": ASK, "seed": 1, **CALL}
    whole = client.chat.completions.parse(**request).choices[0].message.tool_calls[0].function
    other = (await async_client.chat.completions.parse(**request)).choices[0].message.tool_calls[0].function
    assert other.parsed_arguments == whole.parsed_arguments
    form = {"model": MODEL, "messages": ASK, "seed": 1, "max_tokens": 100, "response_format": Weather}
    assert isinstance((await async_client.chat.completions.parse(**form)).choices[0].message.parsed, Weather)


def test_a_streams_text_adds_up(client):
    # The client's stream raises when `max_tokens` ends an answer, so something else does.
    request = {"model": MODEL, "messages": ASK, "temperature": 0, "max_tokens": 200, "stop": ["."]}
    whole = client.chat.completions.create(**request).choices[0]
    with client.chat.completions.stream(**request, stream_options={"include_usage": True}) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    assert "".join(event.delta for event in events if event.type == "content.delta") == whole.message.content
    assert final.choices[0].message.content == whole.message.content
    assert final.choices[0].finish_reason == whole.finish_reason and final.usage.completion_tokens > 0


def test_a_streams_calls_and_objects_are_parsed(client):
    with client.chat.completions.stream(model=MODEL, messages=ASK, seed=1, **CALL) as stream:
        kinds = {event.type for event in stream}
        (call,) = stream.get_final_completion().choices[0].message.tool_calls
    assert {"tool_calls.function.arguments.delta", "tool_calls.function.arguments.done"} <= kinds
    assert isinstance(call.function.parsed_arguments, Weather)
    with client.chat.completions.stream(
        model=MODEL, messages=ASK, seed=1, max_tokens=100, response_format=Weather
    ) as stream:
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, Weather)


async def test_an_async_stream_adds_up(client, async_client):
    # The client's stream raises when `max_tokens` ends an answer, so something else does.
    request = {"model": MODEL, "messages": ASK, "temperature": 0, "max_tokens": 200, "stop": ["."]}
    whole = client.chat.completions.create(**request).choices[0].message.content
    async with async_client.chat.completions.stream(**request) as stream:
        assert (await stream.get_final_completion()).choices[0].message.content == whole


def test_responses_are_parsed_whole_and_streamed(client):
    request = {"model": MODEL, "input": "The weather?", "max_output_tokens": 100}
    assert isinstance(client.responses.parse(**request, text_format=Weather).output_parsed, Weather)
    tool = openai.pydantic_function_tool(Weather, name="weather")["function"] | {"type": "function"}
    called = client.responses.parse(**request, tools=[tool], tool_choice="required", parallel_tool_calls=False)
    (call,) = called.output
    assert isinstance(Weather.model_validate(call.parsed_arguments), Weather) or call.name == "weather"
    with client.responses.stream(**request, text_format=Weather) as stream:
        assert isinstance(stream.get_final_response().output_parsed, Weather)


async def test_responses_are_parsed_by_the_async_client(async_client):
    request = {"model": MODEL, "input": "The weather?", "max_output_tokens": 100, "text_format": Weather}
    assert isinstance((await async_client.responses.parse(**request)).output_parsed, Weather)


@pytest.mark.parametrize("form", ["float", None])
async def test_the_async_client_embeds(start, form):
    server = start("--model", str(data_directory() / "models" / "all-MiniLM-L6-v2.gguf"))
    asked = {"model": MODEL, "input": ["good morning", "good night"]} | ({"encoding_format": form} if form else {})
    settings = {"base_url": server.url + "/v1", "api_key": "unused", "timeout": PATIENCE}
    with openai.OpenAI(**settings) as client:
        whole = [item.embedding for item in client.embeddings.create(**asked).data]
    async with openai.AsyncOpenAI(**settings) as client:
        assert [item.embedding for item in (await client.embeddings.create(**asked)).data] == whole
    assert [len(vector) for vector in whole] == [384, 384]


def test_the_clients_runner_is_told_that_no_threads_are_kept(server):
    """Its newest form sends what is new and counts on the rest to be kept: an answer without the rest would be to another question."""
    asked = []

    @anthropic.beta_tool
    def weather(city: str) -> str:
        """Tells the weather.

        Args:
            city: The city.
        """
        asked.append(city)
        return "It rains."

    with anthropic.Anthropic(base_url=server.url, api_key="unused", max_retries=0, timeout=PATIENCE) as client:
        runner = client.beta.messages.tool_runner(
            model=MODEL, max_tokens=100, messages=ASK, tools=[weather],
            tool_choice={"type": "tool", "name": "weather", "disable_parallel_tool_use": True}, max_iterations=2,
        )
        assert next(iter(runner)).content[0].type == "tool_use"
        with pytest.raises(anthropic.BadRequestError) as refused:
            list(runner)
    assert len(asked) == 1 and refused.value.body["error"]["param"] == "thread"


def test_a_message_is_parsed(server):
    """The client says bounds of numbers and lengths in words, so this has none."""

    class Answer(BaseModel):
        kind: Literal["sun", "rain"]
        sure: bool

    with anthropic.Anthropic(base_url=server.url, api_key="unused", max_retries=0, timeout=PATIENCE) as client:
        message = client.messages.parse(model=MODEL, max_tokens=100, messages=ASK, output_format=Answer)
    assert isinstance(message.parsed_output, Answer)
