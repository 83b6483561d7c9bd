"""Tools through the official client: the default model's template knows none, so calls are written in words and held to a grammar."""

import json

import openai
import pytest

MODEL = "default"
WEATHER = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 30},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
    },
    "required": ["city", "unit", "days"],
    "additionalProperties": False,
}
TIME = {"type": "object", "properties": {"zone": {"type": "string", "maxLength": 20}}, "required": ["zone"]}


def function(name, schema, **more):
    return {"type": "function", "function": {"name": name, "description": f"Tells the {name}.", "parameters": schema, **more}}


TOOLS = [function("weather", WEATHER), function("time", TIME)]
ASK = [{"role": "user", "content": "What is the weather in Paris?"}]


def chat(client, messages=ASK, **extra):
    request = {"model": MODEL, "messages": messages, "max_tokens": 200, "seed": 1, "tools": TOOLS, **extra}
    return client.chat.completions.create(**request)


def check(call):
    arguments = json.loads(call.function.arguments)
    if call.function.name == "weather":
        assert set(arguments) == {"city", "unit", "days"}
        assert arguments["unit"] in ("celsius", "fahrenheit") and 1 <= arguments["days"] <= 9
    else:
        assert call.function.name == "time" and isinstance(arguments["zone"], str)


@pytest.mark.parametrize("seed", range(6))
def test_a_call_that_is_required_is_valid_whatever_the_seed(client, seed):
    choice = chat(
        client, seed=seed, temperature=1.5, tool_choice="required", parallel_tool_calls=False
    ).choices[0]
    assert choice.finish_reason == "tool_calls" and choice.message.content is None
    (call,) = choice.message.tool_calls
    assert call.type == "function" and call.id
    check(call)


@pytest.mark.parametrize("name", ["weather", "time"])
def test_the_function_that_is_named_is_called_once(client, name):
    choice = chat(client, tool_choice={"type": "function", "function": {"name": name}}).choices[0]
    (call,) = choice.message.tool_calls
    assert call.function.name == name
    check(call)


def test_only_what_is_allowed_is_called(client):
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "time"}}]}
    choice = chat(
        client,
        tool_choice={"type": "allowed_tools", "allowed_tools": allowed},
        parallel_tool_calls=False,
        temperature=0,
    ).choices[0]
    assert [call.function.name for call in choice.message.tool_calls] == ["time"]


def test_with_none_the_model_is_not_told(client):
    with_none = chat(client, tool_choice="none", max_tokens=10)
    without = client.chat.completions.create(model=MODEL, messages=ASK, max_tokens=10, seed=1)
    assert with_none.usage.prompt_tokens == without.usage.prompt_tokens
    assert with_none.choices[0].message.content == without.choices[0].message.content


@pytest.mark.parametrize("choice", ["required", "auto"])
def test_a_stream_says_what_the_whole_answer_does(client, choice):
    whole = chat(client, tool_choice=choice, n=2).choices
    said = [{"content": "", "calls": {}, "finish": None} for _ in range(2)]
    for chunk in chat(client, tool_choice=choice, n=2, stream=True):
        for part in chunk.choices:
            answer = said[part.index]
            answer["content"] += part.delta.content or ""
            answer["finish"] = part.finish_reason or answer["finish"]
            for call in part.delta.tool_calls or []:
                if call.id:
                    assert call.index not in answer["calls"], "the name comes once"
                    answer["calls"][call.index] = [call.function.name, ""]
                answer["calls"][call.index][1] += call.function.arguments
    for answer, expected in zip(said, whole):
        assert answer["finish"] == expected.finish_reason
        assert answer["content"] == (expected.message.content or "")
        calls = expected.message.tool_calls or []
        assert list(answer["calls"].values()) == [[c.function.name, c.function.arguments] for c in calls]


def test_history_with_calls_and_results_reaches_the_model(client):
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
    history = [
        *ASK,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny and 25 degrees"},
    ]
    plain = chat(client, max_tokens=1)
    longer = chat(client, history, max_tokens=1)
    assert longer.usage.prompt_tokens > plain.usage.prompt_tokens + 20
    # Without tools, too: they are known from the history.
    client.chat.completions.create(model=MODEL, messages=history, max_tokens=1)


def test_an_answer_goes_on_with_its_own_calls(client):
    first = chat(client, tool_choice="required", parallel_tool_calls=False).choices[0].message
    messages = [*ASK, first, {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "rain"}]
    assert chat(client, messages, max_tokens=10).choices[0].message.content is not None


def test_a_prompt_with_tools_comes_from_the_cache(client):
    tools = [function("cached_" + name, WEATHER) for name in "abcdefgh"]
    chat(client, tools=tools, max_tokens=1)
    usage = chat(client, tools=tools, tool_choice="auto", max_tokens=1).usage
    assert usage.prompt_tokens_details.cached_tokens >= usage.prompt_tokens - 17


def test_the_answer_is_a_call_or_by_the_schema(client):
    class_ = {"type": "object", "properties": {"answer": {"type": "string", "maxLength": 20}}, "required": ["answer"]}
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": class_, "strict": False}}
    for seed in range(4):
        message = chat(client, seed=seed, response_format=form, parallel_tool_calls=False).choices[0].message
        if message.tool_calls:
            check(message.tool_calls[0])
        else:
            assert "answer" in json.loads(message.content)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function", "function": {"name": "a\nb"}}]}, "tools[0].function.name"),
        ({"tools": [function("f", []),]}, "tools[0].function.parameters"),
        ({"tools": [function("f", {}), function("f", {})]}, "tools"),
        ({"tools": [function(f"f{i}", {}) for i in range(2000)]}, "tools"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tool_choice": "perhaps"}, "tool_choice"),
        ({"tool_choice": 5}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "unknown"}}}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function"),
        ({"tools": [], "tool_choice": "required"}, "tool_choice"),
        ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
        ({"tool_choice": "required", "tools": [function("f", {"type": "nonsense"}, strict=True)]}, "tools"),
    ],
)
def test_what_is_wrong_with_tools_is_named(client, body, param):
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model=MODEL, messages=ASK, extra_body={"tools": TOOLS, **body})
    assert refused.value.param == param


@pytest.mark.parametrize("name", ["a.b-c_d", "größe", 'quo"te', "<tool_call>", "x" * 200, "名前"])
def test_names_may_be_odd(client, name):
    choice = chat(client, tools=[function(name, TIME)], tool_choice="required", parallel_tool_calls=False).choices[0]
    assert choice.message.tool_calls[0].function.name == name


def test_a_schema_that_cannot_be_enforced_costs_no_call(client):
    loose = {"type": "object", "properties": {"a": {"not": {"type": "string"}}}, "minProperties": 1}
    choice = chat(client, tools=[function("f", loose)], tool_choice="required", parallel_tool_calls=False).choices[0]
    assert choice.message.tool_calls[0].function.name == "f"
    if choice.finish_reason == "tool_calls":
        assert isinstance(json.loads(choice.message.tool_calls[0].function.arguments), dict)


@pytest.mark.parametrize("seed", range(4))
def test_arguments_are_those_that_the_schema_lists(client, seed):
    given = {"place": {"type": "string", "maxLength": 12}, "days": {"type": "integer"}}
    schema = {"type": "object", "properties": given, "required": ["place", "days"]}
    choice = chat(
        client, tools=[function("f", schema)], tool_choice="required", parallel_tool_calls=False, seed=seed, temperature=1.5
    ).choices[0]
    assert choice.finish_reason == "tool_calls"
    arguments = json.loads(choice.message.tool_calls[0].function.arguments)
    assert set(arguments) == {"place", "days"} and abs(arguments["days"]) < 2**53


@pytest.mark.parametrize("most", range(8, 30, 3))
def test_a_call_that_was_cut_has_what_was_written_of_it(client, most):
    request = {"tool_choice": "required", "parallel_tool_calls": False, "max_tokens": most}
    choice = chat(client, **request).choices[0]
    streamed = ""
    for chunk in chat(client, stream=True, **request):
        for call in chunk.choices[0].delta.tool_calls or []:
            streamed += call.function.arguments
    calls = choice.message.tool_calls or []
    assert streamed == "".join(call.function.arguments for call in calls)
    if choice.finish_reason == "length":
        assert "{}" not in streamed, "nothing is made up"
