"""pydantic-ai: text, stream, tools and the three ways to structured output, through OpenAI's two APIs and Anthropic's."""

import pytest
from pydantic import BaseModel, Field
from pydantic_ai import Agent, ModelRequest, NativeOutput, PromptedOutput, ToolDefinition, ToolOutput, UsageLimits, capture_run_messages
from pydantic_ai.direct import model_request
from pydantic_ai.exceptions import UnexpectedModelBehavior, UsageLimitExceeded
from pydantic_ai.models import ModelRequestParameters
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


@pytest.mark.parametrize("way", [ToolOutput, NativeOutput])
async def test_structured_output(model, way):
    if way is NativeOutput and isinstance(model, AnthropicModel):
        # The client asks for forms only of models whose names it knows.
        model.profile["supports_json_schema_output"] = True
    agent = Agent(model, output_type=way(CityLocation), retries=3)
    result = await agent.run("Where were the olympics held in 2012?", model_settings=SETTINGS)
    assert 1800 <= result.output.year <= 2100


async def test_prompted_output(model):
    """Only the prompt says the schema there, and the small model seldom follows it: the client gets an answer, and judges it."""
    agent = Agent(model, output_type=PromptedOutput(CityLocation), retries=0)
    with capture_run_messages() as messages:
        try:
            await agent.run("Where were the olympics held in 2012?", model_settings=SETTINGS)
        except UnexpectedModelBehavior:
            pass
    assert messages[-1].text if messages[-1].kind == "response" else messages[-2].text


async def test_tools(model):
    roll = ToolDefinition(
        name="roll_dice",
        description="Roll a die and return the result.",
        parameters_json_schema={"type": "object", "properties": {"sides": {"type": "integer"}}, "required": ["sides"]},
    )
    response = await model_request(
        model,
        [ModelRequest.user_text_prompt("Roll a die.")],
        model_settings={**SETTINGS, "parallel_tool_calls": False},
        model_request_parameters=ModelRequestParameters(function_tools=[roll], allow_text_output=False),
    )
    (call,) = response.tool_calls
    assert call.tool_name == "roll_dice" and isinstance(call.args_as_dict()["sides"], int)


async def test_an_agent_with_tools_runs(model):
    agent = Agent(model, output_type=ToolOutput(CityLocation), retries=3)

    @agent.tool_plain
    def roll_dice(sides: int) -> str:
        """Roll a die and return the result."""
        return "4"

    # The small model may call on and on: a limit ends it, and whatever it called was taken.
    try:
        result = await agent.run("Roll a die.", model_settings=SETTINGS, usage_limits=UsageLimits(request_limit=3))
        assert 1800 <= result.output.year <= 2100
    except UsageLimitExceeded:
        pass
