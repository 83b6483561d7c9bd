"""litellm: completion, stream, tools, forms, responses, embeddings and Anthropic's messages, by the prefixes that its pages name."""

import json

import litellm
import pytest
from pydantic import BaseModel, Field

MESSAGES = [{"role": "user", "content": "Hey, how's it going?"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_current_weather",
            "description": "Get the current weather in a given location",
            "parameters": {
                "type": "object",
                "properties": {
                    "location": {"type": "string", "maxLength": 30},
                    "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                },
                "required": ["location", "unit"],
            },
        },
    }
]


class Event(BaseModel):
    name: str = Field(max_length=30)
    day: int = Field(ge=1, le=31)


@pytest.fixture(params=["openai", "hosted_vllm", "anthropic"])
def ask(request, server):
    base = server.url if request.param == "anthropic" else server.url + "/v1"

    def asking(function=litellm.completion, **extra):
        given = {"model": f"{request.param}/default", "messages": MESSAGES, "api_base": base, "max_tokens": 200}
        return function(**given | {"api_key": "unused"} | extra)

    return asking


def test_completion(ask):
    response = ask(max_tokens=20)
    assert response.choices[0].message.content and response.usage.completion_tokens > 0


def test_stream(ask):
    chunks = list(ask(max_tokens=20, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason in ("stop", "length")


async def test_async(ask):
    assert (await ask(litellm.acompletion, max_tokens=10)).choices[0].message.content


@pytest.mark.parametrize("stream", [False, True])
def test_tools(ask, stream):
    answer = ask(tools=TOOLS, tool_choice="required", stream=stream)
    if stream:
        answer = litellm.stream_chunk_builder(list(answer))
    call = answer.choices[0].message.tool_calls[0]
    assert call.function.name == "get_current_weather"
    assert set(json.loads(call.function.arguments)) >= {"location", "unit"}


def test_results_of_tools_go_back(ask):
    message = ask(tools=TOOLS, tool_choice="required").choices[0].message
    results = [
        {"tool_call_id": call.id, "role": "tool", "name": call.function.name, "content": "10 degrees"}
        for call in message.tool_calls
    ]
    answer = ask(messages=[*MESSAGES, message, *results], tools=TOOLS, max_tokens=20)
    assert answer.choices[0].finish_reason


def test_a_form(ask):
    answer = ask(response_format=Event)
    assert 1 <= Event.model_validate_json(answer.choices[0].message.content).day <= 31


def test_responses(base_url):
    response = litellm.responses(
        model="openai/default", input="Tell me a story.", max_output_tokens=20, api_base=base_url, api_key="unused"
    )
    assert response.output[0].content[0].text
    stream = litellm.responses(
        model="openai/default", input="Hi", max_output_tokens=20, api_base=base_url, api_key="unused", stream=True
    )
    assert list(stream)[-1].type in ("response.completed", "response.incomplete")


async def test_messages(server):
    response = await litellm.anthropic.messages.acreate(
        model="anthropic/default", messages=MESSAGES, max_tokens=20, api_base=server.url, api_key="unused"
    )
    assert response["content"][0]["text"]


def test_text_completion(base_url):
    response = litellm.text_completion(
        model="text-completion-openai/default", prompt="Say this is a test", max_tokens=7, api_base=base_url,
        api_key="unused",
    )
    assert response.choices[0].text


def test_embedding(base_url, embedding_model):
    response = litellm.embedding(
        model=f"openai/{embedding_model}", input=["good morning", "good night"], api_base=base_url, api_key="unused"
    )
    assert [len(item["embedding"]) for item in response.data] == [384, 384]
