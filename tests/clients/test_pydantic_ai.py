"""pydantic-ai: text, stream, tools and the three ways to structured output, through OpenAI's two APIs and Anthropic's."""

import pytest
from pydantic import BaseModel, Field
from pydantic_ai import Agent, NativeOutput, PromptedOutput, ToolOutput, UsageLimits
from pydantic_ai.exceptions import UsageLimitExceeded
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

SETTINGS = {"max_tokens": 300, "temperature": 0}


class CityLocation(BaseModel):
    city: str = Field(max_length=20)
    year: int = Field(ge=1800, le=2100)


@pytest.fixture(params=["chat", "responses", "messages"])
def model(request, server, base_url):
    if request.param == "messages":
        return AnthropicModel("default", provider=AnthropicProvider(base_url=server.url, api_key="unused"))
    provider = OpenAIProvider(base_url=base_url, api_key="unused")
    kind = {"chat": OpenAIChatModel, "responses": OpenAIResponsesModel}[request.param]
    return kind("default", provider=provider)


async def test_text(model):
    result = await Agent(model, instructions="Be concise.").run("Where does 'hello world' come from?", model_settings=SETTINGS)
    assert result.output and result.usage.output_tokens > 0


async def test_stream(model):
    async with Agent(model).run_stream("Tell me a story.", model_settings={"max_tokens": 30}) as result:
        texts = [text async for text in result.stream_text(delta=True)]
    assert "".join(texts)


async def test_a_conversation_goes_on(model):
    agent = Agent(model)
    first = await agent.run("Hi, I am Bob.", model_settings={"max_tokens": 20})
    second = await agent.run("Who am I?", message_history=first.all_messages(), model_settings={"max_tokens": 20})
    assert second.usage.input_tokens > first.usage.input_tokens


@pytest.mark.parametrize("way", [ToolOutput, NativeOutput, PromptedOutput])
async def test_structured_output(model, way):
    agent = Agent(model, output_type=way(CityLocation), retries=3)
    result = await agent.run("Where were the olympics held in 2012?", model_settings=SETTINGS)
    assert 1800 <= result.output.year <= 2100


async def test_tools(model):
    """The small model goes on to call what it must: a limit ends it, and each call was valid."""
    agent, rolled = Agent(model), []

    @agent.tool_plain
    def roll_dice(sides: int) -> str:
        """Roll a die and return the result."""
        rolled.append(sides)
        return "4"

    try:
        await agent.run(
            "Roll a die.", model_settings={**SETTINGS, "tool_choice": "required"}, usage_limits=UsageLimits(request_limit=3)
        )
    except UsageLimitExceeded:
        pass
    assert all(isinstance(sides, int) for sides in rolled)
