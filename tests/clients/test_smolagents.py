"""smolagents: its model class, and both of its agents with a tool."""

import pytest
from smolagents import CodeAgent, OpenAIModel, ToolCallingAgent, tool

MODEL = "default"


@tool
def get_weather(location: str) -> str:
    """Gets the weather at a place.

    Args:
        location: The place.
    """
    return f"The weather in {location} is sunny."


@pytest.fixture
def model(base_url):
    return OpenAIModel(model_id=MODEL, api_base=base_url, api_key="unused", max_tokens=200, temperature=0, parallel_tool_calls=False)


def ask(text):
    return [{"role": "user", "content": [{"type": "text", "text": text}]}]


def test_the_model_answers(model):
    message = model(ask("Hello!"))
    assert message.content and message.token_usage.output_tokens > 0


def test_it_streams(model):
    assert "".join(part.content or "" for part in model.generate_stream(ask("Hello!")))


def test_stop_sequences(model):
    assert "." not in model(ask("Tell me a story."), stop_sequences=["."]).content


def test_a_tool_is_called(model):
    message = model(ask("What is the weather in Paris?"), tools_to_call_from=[get_weather])
    call = message.tool_calls[0]
    assert call.function.name == "get_weather"


def test_an_agent_of_calls_runs(model):
    agent = ToolCallingAgent(tools=[get_weather], model=model, max_steps=2, verbosity_level=0)
    assert agent.run("What is the weather in Paris?") is not None
    steps = [step for step in agent.memory.steps if getattr(step, "tool_calls", None)]
    assert steps, "it called something: that is required"


def test_an_agent_of_code_runs_with_structured_outputs(model):
    agent = CodeAgent(tools=[get_weather], model=model, max_steps=2, verbosity_level=0, use_structured_outputs_internally=True)
    agent.run("What is 2 + 2?")
    assert len(agent.memory.steps) >= 2
