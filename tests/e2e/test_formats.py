"""Structured output through the official client: the default model knows little, and its answers are valid all the same."""

import json
import re

import openai
import pytest
from pydantic import BaseModel

MODEL = "default"
MESSAGES = [{"role": "user", "content": "Describe a city."}]


class City(BaseModel):
    name: str
    inhabitants: int
    is_capital: bool


CLOSED = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "inhabitants": {"type": "integer", "minimum": 1, "maximum": 99999999},
        "is_capital": {"type": "boolean"},
    },
    "required": ["name", "inhabitants", "is_capital"],
    "additionalProperties": False,
}


def chat(client, **extra):
    request = {"model": MODEL, "messages": MESSAGES, "max_tokens": 200, "seed": 1, **extra}
    return client.chat.completions.create(**request).choices[0]


def by_schema(schema, strict=True):
    return {"type": "json_schema", "json_schema": {"name": "city", "schema": schema, "strict": strict}}


@pytest.mark.parametrize("seed", range(8))
def test_an_answer_by_a_schema_is_valid_whatever_the_seed(client, seed):
    choice = chat(client, seed=seed, temperature=1.5, response_format=by_schema(CLOSED))
    assert choice.finish_reason == "stop"
    city = json.loads(choice.message.content)
    assert list(city) == ["name", "inhabitants", "is_capital"] and len(city["name"]) <= 20
    City.model_validate(city)


def test_the_clients_own_parse_gives_an_object(client):
    class Answer(BaseModel):
        is_large: bool
        kind: str

    answer = client.chat.completions.parse(
        model=MODEL, messages=MESSAGES, temperature=0, max_tokens=200, response_format=Answer
    )
    choice = answer.choices[0]
    assert choice.finish_reason == "length" or isinstance(choice.message.parsed, Answer)


def test_any_json_object_is_one(client):
    choice = chat(client, temperature=0, response_format={"type": "json_object"})
    assert choice.message.content.lstrip().startswith("{")
    if choice.finish_reason == "stop":
        assert isinstance(json.loads(choice.message.content), dict)


@pytest.mark.parametrize(
    "field",
    [
        {"structured_outputs": {"choice": ["large", "small"]}},
        {"guided_choice": ["large", "small"]},
        {"choice": ["large", "small"]},
        {"structured_outputs": {"regex": "large|small"}},
        {"guided_regex": "large|small"},
        {"regex": "large|small"},
        {"grammar": 'root ::= "large" | "small"'},
        {"guided_grammar": 'start: "large" | "small"'},
        {"structured_outputs": {"grammar": 'root ::= "large" | "small"'}},
    ],
    ids=json.dumps,
)
def test_each_servers_name_for_a_format_is_understood(client, field):
    assert chat(client, extra_body=field).message.content in ("large", "small")
    text = client.completions.create(model=MODEL, prompt="The city is", seed=1, max_tokens=20, extra_body=field)
    assert text.choices[0].text in ("large", "small")


@pytest.mark.parametrize("name", ["guided_json", "json_schema"])
def test_a_schema_may_be_text(client, name):
    for schema in (CLOSED, json.dumps(CLOSED)):
        City.model_validate_json(chat(client, extra_body={name: schema}).message.content)


def test_a_stream_with_log_probabilities_spells_the_same_answer(client):
    whole = chat(client, response_format=by_schema(CLOSED), n=2)
    plain = chat(client, response_format=by_schema(CLOSED))
    stream = client.chat.completions.create(
        model=MODEL, messages=MESSAGES, max_tokens=200, seed=1, stream=True, logprobs=True,
        response_format=by_schema(CLOSED),
    )
    chunks = [chunk.choices[0] for chunk in stream if chunk.choices]
    assert "".join(chunk.delta.content or "" for chunk in chunks) == plain.message.content == whole.message.content
    tokens = [token for chunk in chunks if chunk.logprobs for token in chunk.logprobs.content]
    assert "".join(token.token for token in tokens) == plain.message.content
    assert all(token.logprob <= 0 for token in tokens)


def test_what_stops_an_answer_early_still_does(client):
    cut = chat(client, response_format=by_schema(CLOSED), max_tokens=3)
    assert cut.finish_reason == "length" and '{"name":"'.startswith(cut.message.content[:9])
    stopped = chat(client, response_format=by_schema(CLOSED), stop="inhab")
    assert stopped.finish_reason == "stop" and re.fullmatch(r'\{"name":".*","', stopped.message.content)


@pytest.mark.parametrize(
    "format, param, message",
    [
        (by_schema({"type": "strin"}), "response_format.json_schema.schema", "/type"),
        (by_schema({"items": {"$ref": "http://localhost/x"}}), "response_format.json_schema.schema", "/items/$ref"),
        (by_schema({"properties": {"a": {"not": {}}}}), "response_format.json_schema.schema", "/properties/a/not"),
        ({"type": "json_schema"}, "response_format.json_schema", "missing"),
        ({"type": "json_schema", "json_schema": {"name": "x"}}, "response_format.json_schema.schema", "missing"),
        ({"type": "yaml"}, "response_format.type", "yaml"),
    ],
)
def test_what_cannot_be_a_format_is_told_with_its_place(client, format, param, message):
    with pytest.raises(openai.BadRequestError) as failure:
        chat(client, response_format=format)
    assert failure.value.param == param and message in failure.value.message


def test_two_formats_at_once_are_refused(client):
    with pytest.raises(openai.BadRequestError) as failure:
        chat(client, response_format={"type": "json_object"}, extra_body={"regex": "a"})
    assert failure.value.param == "response_format"


ENDLESS = [
    {"guided_json": {"type": "array", "minItems": 1, "items": {"$ref": "#"}}},
    {"guided_json": {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}},
    {"grammar": 'root ::= "a" root'},
    {"grammar": 'start: "x" start'},
]


@pytest.mark.parametrize("form", ENDLESS)
def test_a_form_without_an_end_is_refused(client, form):
    with pytest.raises(openai.BadRequestError) as refused:
        chat(client, extra_body=form)
    assert refused.value.param in form
