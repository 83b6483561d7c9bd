"""llama-index, by its openai-like models and embeddings."""

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel, Field

MODEL = "default"


class Album(BaseModel):
    """An album."""

    name: str = Field(max_length=30)
    songs: int = Field(ge=1, le=30)


def multiply(a: int, b: int) -> int:
    """Multiplies two numbers."""
    return a * b


@pytest.fixture
def llm(base_url):
    return OpenAILike(
        model=MODEL, api_base=base_url, api_key="unused", context_window=8192, max_tokens=200,
        is_chat_model=True, is_function_calling_model=True, should_use_structured_outputs=True, timeout=240,
    )


def test_complete(llm):
    assert str(llm.complete("Hello World!", max_tokens=20))


def test_stream_complete(llm):
    assert list(llm.stream_complete("Explain why the sky is blue.", max_tokens=20))[-1].text


def test_chat_and_stream(llm):
    messages = [ChatMessage(role="system", content="You are a pirate."), ChatMessage(role="user", content="Hi")]
    assert llm.chat(messages, max_tokens=20).message.content
    assert "".join(part.delta or "" for part in llm.stream_chat(messages, max_tokens=20))


async def test_async(llm):
    assert str(await llm.acomplete("Hello", max_tokens=10))


def test_text_completions(base_url):
    llm = OpenAILike(model=MODEL, api_base=base_url, api_key="unused", max_tokens=10, is_chat_model=False)
    assert str(llm.complete("Hello, my name is"))


def test_tools(llm):
    tool = FunctionTool.from_defaults(fn=multiply)
    response = llm.chat_with_tools([tool], user_msg="What is 3 times 4?", tool_required=True)
    calls = llm.get_tool_calls_from_response(response)
    assert calls[0].tool_name == "multiply" and set(calls[0].tool_kwargs) == {"a", "b"}


def test_structured_output(llm):
    structured = llm.as_structured_llm(Album)
    answer = structured.chat([ChatMessage(role="user", content="Name an album.")])
    assert isinstance(answer.raw, Album)


async def test_an_agent_runs(llm):
    agent = FunctionAgent(tools=[multiply], llm=llm, system_prompt="You multiply numbers.")
    assert await agent.run("Say hello.", max_iterations=3, early_stopping_method="generate")


def test_embeddings(base_url, embedding_model):
    embedder = OpenAILikeEmbedding(model_name=embedding_model, api_base=base_url, api_key="unused")
    assert len(embedder.get_text_embedding("Hello")) == 384
    assert len(embedder.get_text_embedding_batch(["a", "b", "c"])) == 3
