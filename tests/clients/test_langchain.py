"""langchain-openai: the examples of its pages for ChatOpenAI and OpenAIEmbeddings."""

import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings
from pydantic import BaseModel, Field

MODEL = "default"


class Joke(BaseModel):
    """Joke to tell user."""

    setup: str = Field(description="The setup of the joke", max_length=40)
    rating: int = Field(description="How funny the joke is, from 1 to 10", ge=1, le=10)


class GetWeather(BaseModel):
    """Get the current weather in a given location"""

    location: str = Field(..., description="The city and state, e.g. San Francisco, CA", max_length=40)


@tool
def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


@pytest.fixture
def llm(base_url):
    return ChatOpenAI(model=MODEL, base_url=base_url, temperature=0, max_tokens=200)


def test_invoke(llm):
    answer = llm.invoke([("system", "You are a helpful translator."), ("human", "I love programming.")])
    assert answer.content and answer.usage_metadata["output_tokens"] > 0
    assert answer.response_metadata["finish_reason"] in ("stop", "length")


def test_stream(llm):
    chunks = list(llm.stream("Tell me a story.", max_tokens=30))
    assert len(chunks) > 5
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert whole.content == llm.invoke("Tell me a story.", max_tokens=30).content


async def test_async(llm):
    assert (await llm.ainvoke("Hello", max_tokens=10)).content
    assert [chunk async for chunk in llm.astream("Hello", max_tokens=10)]


def test_batch(llm):
    answers = llm.batch(["What is 2+2?", "What is the opposite of hot?"], max_tokens=20)
    assert len(answers) == 2 and all(answer.content for answer in answers)


@pytest.mark.parametrize("strict", [None, True])
@pytest.mark.parametrize("choice", ["any", "GetWeather"])
def test_bind_tools(llm, choice, strict):
    bound = llm.bind_tools([GetWeather], tool_choice=choice, strict=strict, parallel_tool_calls=False)
    (call,) = bound.invoke("what is the weather like in San Francisco").tool_calls
    assert call["name"] == "GetWeather" and call["args"]["location"]


def test_a_tool_is_called_and_its_result_goes_back(llm):
    question = HumanMessage("What is 3 * 12?")
    asked = llm.bind_tools([multiply], tool_choice="any", parallel_tool_calls=False).invoke([question])
    result = multiply.invoke(asked.tool_calls[0])
    assert isinstance(result, ToolMessage)
    assert llm.bind_tools([multiply]).invoke([question, asked, result], max_tokens=20)


def test_streamed_calls_add_up(llm):
    bound = llm.bind_tools([GetWeather], tool_choice="any", parallel_tool_calls=False)
    whole = None
    for chunk in bound.stream("weather in Paris?"):
        whole = chunk if whole is None else whole + chunk
    assert whole.tool_calls[0]["name"] == "GetWeather" and whole.tool_calls[0]["args"]["location"]


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_with_structured_output(llm, method):
    structured = llm.with_structured_output(Joke, method=method, include_raw=True)
    answer = structured.invoke("Tell me a joke about cats, as JSON with the keys setup and rating")
    if method == "json_mode":
        # The model is free in its keys there.
        assert answer["raw"].content.lstrip().startswith("{")
    else:
        assert answer["parsing_error"] is None and 1 <= answer["parsed"].rating <= 10


def test_logprobs(llm):
    answer = llm.bind(logprobs=True).invoke("how are you today?", max_tokens=5)
    assert len(answer.response_metadata["logprobs"]["content"]) == 5


def test_the_responses_api(base_url):
    llm = ChatOpenAI(model=MODEL, base_url=base_url, use_responses_api=True, max_tokens=30)
    first = llm.invoke("Hi, I'm Bob.")
    assert first.text and first.response_metadata["id"].startswith("resp_")
    second = llm.invoke("What is my name?", previous_response_id=first.response_metadata["id"])
    assert second.usage_metadata["input_tokens"] > first.usage_metadata["input_tokens"]
    assert "".join(chunk.text for chunk in llm.stream("Hello"))
    longer = ChatOpenAI(model=MODEL, base_url=base_url, use_responses_api=True, max_tokens=200)
    bound = longer.bind_tools([GetWeather], tool_choice="any", parallel_tool_calls=False)
    (call,) = bound.invoke("What is the weather in Paris?").tool_calls
    assert call["name"] == "GetWeather" and call["args"]["location"]


def test_text_completions(base_url):
    assert OpenAI(model=MODEL, base_url=base_url, max_tokens=10).invoke("Hello, my name is")


def test_embeddings(base_url, embedding_model):
    # Else it sends token ids of OpenAI's models, whose vocabulary it would have to fetch.
    embeddings = OpenAIEmbeddings(model=embedding_model, base_url=base_url, check_embedding_ctx_length=False)
    assert len(embeddings.embed_query("What is the meaning of life?")) == 384
    assert len(embeddings.embed_documents(["a", "b"])) == 2
