"""Thoughts told apart from answers: the default model under a template that lets it think."""

import re

import anthropic
import openai
import pytest

from process import PATIENCE, Server

MODEL = "default"
ASK = [{"role": "user", "content": "What is two and two?"}]
TEMPLATE = """{%- for message in messages -%}
<|im_start|>{{ message.role }}
{% if message.reasoning_content %}<think>
{{ message.reasoning_content }}
</think>

{% endif %}{{ message.content }}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% if enable_thinking is defined and not enable_thinking %}<think>

</think>

{% else %}<think>
{% endif %}{% endif %}"""


@pytest.fixture(scope="module")
def thinker(tmp_path_factory):
    template = tmp_path_factory.mktemp("thinker") / "template.jinja"
    template.write_text(TEMPLATE)
    server = Server("--chat-template", str(template))
    yield server
    server.close()


@pytest.fixture
def client(thinker):
    with openai.OpenAI(base_url=thinker.url + "/v1", api_key="unused", max_retries=0, timeout=PATIENCE) as client:
        yield client


@pytest.fixture
def claude(thinker):
    with anthropic.Anthropic(base_url=thinker.url, api_key="unused", max_retries=0, timeout=PATIENCE) as client:
        yield client


def chat(client, **extra):
    body = {key: extra.pop(key) for key in list(extra) if key in ("reasoning", "thinking", "enable_thinking", "reasoning_format", "include_reasoning", "thinking_budget")}
    request = {"model": MODEL, "messages": ASK, "max_tokens": 60, "temperature": 0, **extra}
    return client.chat.completions.create(**request, extra_body=body)


@pytest.mark.parametrize(
    "budget",
    [
        {"thinking_budget": 10},
        {"reasoning": {"max_tokens": 10}},
        {"thinking": {"type": "enabled", "budget_tokens": 10}},
    ],
)
def test_a_budget_ends_thoughts_at_its_token(client, budget):
    answer = chat(client, **budget)
    message = answer.choices[0].message
    thoughts = answer.usage.completion_tokens_details.reasoning_tokens
    assert message.reasoning_content and message.content
    assert "think>" not in message.content and "think>" not in message.reasoning_content
    # The marker of their end may be several tokens, of which some are forced together.
    assert 1 <= thoughts <= 10 + 8
    plain = chat(client).choices[0].message
    assert plain.reasoning_content.startswith(message.reasoning_content[:20])


def test_a_stream_says_what_the_whole_answer_does(client):
    whole = chat(client, thinking_budget=12)
    thoughts = text = ""
    usage = None
    for chunk in chat(client, thinking_budget=12, stream=True, stream_options={"include_usage": True}):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            thoughts += getattr(choice.delta, "reasoning_content", None) or ""
            text += choice.delta.content or ""
    message = whole.choices[0].message
    assert (thoughts, text) == (message.reasoning_content, message.content)
    assert usage.completion_tokens_details == whole.usage.completion_tokens_details


@pytest.mark.parametrize(
    "off",
    [
        {"reasoning_effort": "none"},
        {"enable_thinking": False},
        {"thinking": {"type": "disabled"}},
        {"reasoning": {"enabled": False}},
    ],
)
def test_a_model_that_is_not_to_think_does_not(client, off):
    answer = chat(client, **off)
    assert not hasattr(answer.choices[0].message, "reasoning_content")
    assert answer.usage.completion_tokens_details.reasoning_tokens == 0
    assert answer.choices[0].message.content


def test_thoughts_come_under_the_name_that_is_asked_for_or_not_at_all(client):
    named = chat(client, include_reasoning=True, thinking_budget=10).choices[0].message
    assert named.reasoning == named.reasoning_content
    hidden = chat(client, include_reasoning=False, thinking_budget=10).choices[0].message
    assert not hasattr(hidden, "reasoning_content") and hidden.content == named.content
    raw = chat(client, reasoning_format="none", thinking_budget=10).choices[0].message
    assert "</think>" in raw.content and not hasattr(raw, "reasoning_content")


def test_what_has_a_form_follows_the_thoughts(client):
    schema = {"type": "object", "properties": {"sum": {"type": "integer", "maximum": 99, "minimum": 0}}, "required": ["sum"]}
    form = {"type": "json_schema", "json_schema": {"name": "sum", "schema": schema, "strict": True}}
    message = chat(client, thinking_budget=10, response_format=form, max_tokens=100).choices[0].message
    assert message.reasoning_content and message.content.startswith('{"sum":')
    tool = {"type": "function", "function": {"name": "add", "parameters": schema}}
    choice = chat(client, thinking_budget=10, tools=[tool], tool_choice="required", parallel_tool_calls=False, max_tokens=100).choices[0]
    assert choice.message.reasoning_content and choice.message.tool_calls[0].function.name == "add"


@pytest.mark.parametrize("form", [{"guided_choice": ["four", "five/six"]}, {"guided_regex": "[0-9]{1,2}/[0-9]"}, {"grammar": 'root ::= "four" | "five"'}])
def test_every_form_is_in_the_content(client, form):
    request = {"model": MODEL, "messages": ASK, "max_tokens": 80, "temperature": 0}
    message = client.chat.completions.create(**request, extra_body={"thinking_budget": 10, **form}).choices[0].message
    assert re.fullmatch("four|five|five/six|[0-9]{1,2}/[0-9]", message.content)
    # A grammar is of the whole answer.
    assert hasattr(message, "reasoning_content") == ("grammar" not in form)


def test_thoughts_of_an_earlier_turn_reach_the_template(client):
    turn = {"role": "assistant", "content": "4", "reasoning_content": "Two and two is four. " * 5}
    with_thoughts = chat(client, messages=[*ASK, turn, *ASK], max_tokens=1).usage.prompt_tokens
    without = chat(client, messages=[*ASK, {"role": "assistant", "content": "4"}, *ASK], max_tokens=1).usage.prompt_tokens
    assert with_thoughts > without + 20


def test_messages_have_blocks_of_thoughts(claude):
    request = {"model": MODEL, "max_tokens": 60, "messages": ASK, "thinking": {"type": "enabled", "budget_tokens": 10}}
    request["extra_body"] = {"temperature": 0}
    message = claude.messages.create(**request)
    assert [block.type for block in message.content] == ["thinking", "text"]
    with claude.messages.stream(**request) as stream:
        streamed = stream.get_final_message().content
    assert streamed[0].thinking == message.content[0].thinking and streamed[1].text == message.content[1].text


def test_responses_have_items_of_thoughts(client):
    request = {"model": MODEL, "input": "What is two and two?", "max_output_tokens": 60, "temperature": 0}
    response = client.responses.create(**request, extra_body={"reasoning": {"max_tokens": 10}})
    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert response.output[0].content[0].text and response.usage.output_tokens_details.reasoning_tokens > 0
    events = list(client.responses.create(**request, extra_body={"reasoning": {"max_tokens": 10}}, stream=True))
    assert events[-1].response.output_text == response.output_text
    thoughts = "".join(event.delta for event in events if event.type == "response.reasoning_text.delta")
    assert thoughts == response.output[0].content[0].text
