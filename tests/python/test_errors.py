"""What is wrong is said by its name, with the value and the remedy."""

import math

import pytest

from parkade import DeadlineError, Engine, InvalidRequestError, LoadError, ParkadeError

WRONG = [
    ({"temperature": 101}, "temperature", "invalid_value", "101"),
    ({"temperature": "hot"}, "temperature", "invalid_type", "'hot'"),
    ({"temperature": math.nan}, "temperature", "invalid_type", "not JSON"),
    ({"top_p": 2}, "top_p", "invalid_value", "2"),
    ({"n": 0}, "n", "invalid_value", "0"),
    ({"n": 1.5}, "n", "invalid_value", "1.5"),
    ({"max_tokens": 0}, "max_tokens", "invalid_value", "0"),
    ({"stop": object()}, "stop", "invalid_type", "object"),
    ({"stop": [""]}, "stop", "invalid_value", "0 bytes"),
    ({"seed": 1 << 70}, "seed", "invalid_value", "1.18"),
    ({"logit_bias": {"-1": 1}}, "logit_bias", "invalid_value", "'-1'"),
    ({"top_logprobs": 2}, "top_logprobs", "invalid_value", "logprobs"),
    ({"temprature": 1}, "temprature", "unknown_parameter", "temprature"),
    ({"response_format": {"type": "yaml"}}, "response_format.type", "invalid_value", "yaml"),
    ({"stream": True}, "stream", "unsupported_parameter", "stream()"),
    ({"model": "other"}, "model", "unsupported_parameter", "one model"),
    ({"user": "ada"}, "user", "unsupported_parameter", "tenant"),
    ({"priority_class": "urgent"}, "priority_class", "invalid_value", '"urgent"'),
    ({"tenant": 5}, "tenant", "invalid_value", "5"),
    ({"tenant": ""}, "tenant", "invalid_value", "1 to 256 bytes"),
    ({"tenant": "a\nb"}, "tenant", "invalid_value", "control characters"),
    ({"tenant": "x" * 10_000}, "tenant", "invalid_value", "1 to 256 bytes"),
    ({"tenant": "\ud800"}, "tenant", "invalid_type", "surrogates"),
    ({"request_id": "two words"}, "request_id", "invalid_value", "visible characters"),
    ({"request_id": ""}, "request_id", "invalid_value", "1 to 128"),
    ({"stop": "\ud800"}, "stop", "invalid_type", "surrogates"),
    ({"timeout": 0}, "timeout", "invalid_value", "0"),
    ({"first_token_timeout": -1}, "first_token_timeout", "invalid_value", "-1"),
    ({"timeout": "soon"}, "timeout", "invalid_value", '"soon"'),
]


@pytest.mark.parametrize(("options", "field", "code", "words"), WRONG, ids=str)
def test_a_wrong_option_is_named_with_its_value(engine, options, field, code, words):
    with pytest.raises(InvalidRequestError) as wrong:
        engine.chat("What is 2+2?", **options)
    assert (wrong.value.field, wrong.value.code, wrong.value.retry_after) == (field, code, None)
    assert words in str(wrong.value)
    assert isinstance(wrong.value, ParkadeError) and isinstance(wrong.value, ValueError)


@pytest.mark.parametrize("prompt", [5, None, 1.5, {"role": "user"}, object()], ids=lambda prompt: type(prompt).__name__)
def test_what_is_no_prompt_is_refused_wherever_it_is_given(engine, prompt):
    for ask in [engine.stream, engine.complete, engine.chat, lambda one: engine.generate([one])]:
        with pytest.raises(InvalidRequestError) as wrong:
            ask(prompt)
        assert wrong.value.field in ("prompt", "messages"), wrong.value
    kept = engine.generate(["One", prompt], max_tokens=2, return_exceptions=True)
    assert [type(answer).__name__ for answer in kept] == ["Answer", "InvalidRequestError"]


@pytest.mark.parametrize("prompts", ["Tell me", {"a": 1}], ids=["text", "mapping"])
def test_one_prompt_is_not_taken_for_many(engine, prompts):
    with pytest.raises(InvalidRequestError) as wrong:
        engine.generate(prompts, max_tokens=2)
    assert wrong.value.field == "prompts" and "list of prompts" in str(wrong.value)


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ([], "messages"),
        (5, "messages"),
        ([5], "messages[0]"),
        ("lone \ud800", "messages"),
        ([{"role": "user"}], "messages[0].content"),
        ([{"role": "user", "content": "x", "foo": 1}], "messages[0].foo"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}], "messages[0].content[0].image_url"),
        ([{"role": "user", "content": "word " * 10_000}], "messages"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_wrong_messages_are_named_by_their_place(engine, messages, field):
    with pytest.raises(InvalidRequestError) as wrong:
        engine.chat(messages)
    assert wrong.value.field == field


@pytest.mark.parametrize("prompt", ["", [], None, 5, ["a", "b"], [1, "a"], [-1], [10**9], "word " * 10_000, "\ud800"])
def test_a_wrong_prompt_is_refused(engine, prompt):
    with pytest.raises(InvalidRequestError):
        engine.complete(prompt)


@pytest.mark.parametrize(
    ("settings", "field", "words"),
    [
        ({"threads": 0}, "threads", "'0': expected a whole number from 1 to 1024"),
        ({"threads": "many"}, "threads", "'many'"),
        ({"kv_cache_mb": 10**7}, "kv_cache_mb", "10000000"),
        ({"scheduler": "fair"}, "scheduler", "parking-lot, default"),
        ({"max_seqs": -1}, "max_seqs", "'-1'"),
        ({"prefix_cache": "perhaps"}, "prefix_cache", "true"),
        ({"port": 1234}, "port", "no setting of an engine"),
        ({"model": "/nowhere/x.gguf"}, "model", "/nowhere/x.gguf"),
        ({"model": "nonsense"}, "model", "pull --list"),
        ({"model": "llama-3.1-8b"}, "model", "parkade pull llama-3.1-8b"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_named_with_its_remedy(settings, field, words):
    with pytest.raises(LoadError) as wrong:
        Engine(**settings)
    assert wrong.value.field == field
    assert words in str(wrong.value)


def test_a_file_that_is_no_model_is_named(tmp_path):
    path = tmp_path / "x.gguf"
    path.write_bytes(b"no model")
    with pytest.raises(LoadError, match="x.gguf") as wrong:
        Engine(path)
    assert wrong.value.field == "model"


def test_a_deadline_that_passes_is_said(engine):
    with pytest.raises(DeadlineError) as late:
        engine.complete("Once upon a time", max_tokens=1500, ignore_eos=True, timeout=0.2)
    assert late.value.code == "deadline_exceeded" and late.value.retry_after >= 1
    assert isinstance(late.value, TimeoutError)


def test_two_requests_of_one_name_are_one_too_many(engine):
    with engine.stream("One", max_tokens=1000, ignore_eos=True, request_id="same") as stream:
        next(stream)
        with pytest.raises(InvalidRequestError):
            engine.complete("Two", request_id="same")
