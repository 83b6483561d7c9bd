"""Answers: those of the server, whole or in pieces, one or many."""

import doctest
import importlib.metadata
import pickle
import sys
import typing

import httpx
import pytest

import parkade.engine
from conftest import PATIENCE, await_idle
from parkade import Engine, InvalidRequestError, RefusedError

CHAT = [{"role": "system", "content": "You tell tales."}, {"role": "user", "content": "Invent a tale of a fox."}]
SAMPLING = [
    {"seed": 7, "temperature": 1.2, "max_tokens": 40},
    {"seed": 8, "top_k": 20, "repetition_penalty": 1.3, "n": 3, "stop": ["fox", "\n\n"], "max_tokens": 40},
    {"temperature": 0, "logit_bias": {"28": -100}, "max_tokens": 24},
]


def posted(server, path, **body):
    answer = httpx.post(server.url + path, json=body, timeout=PATIENCE)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("options", SAMPLING)
def test_one_seed_gives_the_tokens_of_the_server(engine, server, options):
    theirs = posted(server, "/v1/chat/completions", messages=CHAT, **options)
    ours = engine.chat(CHAT, **options)
    told = [(choice["message"]["content"], choice["finish_reason"]) for choice in theirs["choices"]]
    assert [(choice.text, choice.finish_reason) for choice in ours.choices] == told
    assert ours.usage.completion_tokens == theirs["usage"]["completion_tokens"]
    assert ours.usage.prompt_tokens == theirs["usage"]["prompt_tokens"]


def test_log_probabilities_are_those_of_the_server(engine, server):
    options = {"seed": 7, "max_tokens": 8, "logprobs": 3}
    theirs = posted(server, "/v1/completions", prompt="Once upon a time", **options)["choices"][0]
    (ours,) = engine.complete("Once upon a time", **options).choices
    assert ours.text == theirs["text"]
    assert [token.logprob for token in ours.logprobs] == pytest.approx(theirs["logprobs"]["token_logprobs"])
    assert [token.token for token in ours.logprobs] == theirs["logprobs"]["tokens"]
    assert all(len(token.top) == 3 for token in ours.logprobs)
    assert engine.complete(list(ours.token_ids), **options).usage.prompt_tokens == len(ours.token_ids)


def test_the_pieces_of_a_stream_are_its_answer(engine):
    options = {"seed": 3, "max_tokens": 30, "n": 2}
    stream = engine.stream(CHAT, **options)
    assert stream.answer is None
    texts = ["", ""]
    for chunk in stream:
        texts[chunk.index] += chunk.text
    assert [choice.text for choice in stream.answer.choices] == texts
    assert stream.answer.choices == engine.chat(CHAT, **options).choices
    assert list(stream) == [] and stream.result() == stream.answer


def test_a_batch_is_in_order_and_each_answer_as_alone(engine):
    prompts = [f"{number} green bottles" for number in range(30)] + [CHAT]
    options = {"seed": 1, "max_tokens": 12}
    answers = engine.generate(iter(prompts), **options)
    alone = [engine.complete(prompt, **options) for prompt in prompts[:-1]] + [engine.chat(CHAT, **options)]
    assert [answer.text for answer in answers] == [answer.text for answer in alone]
    assert engine.generate([]) == []


@pytest.mark.parametrize("scheduler", ["parking-lot", "default"])
def test_a_batch_is_longer_than_the_line(scheduler):
    with Engine(scheduler=scheduler, kv_cache_mb=32, max_seqs=2, max_queue_depth=1) as engine:
        answers = engine.generate([f"{number} and" for number in range(12)], max_tokens=4, n=2, temperature=0)
        assert [len(answer.choices) for answer in answers] == [2] * 12
        assert engine.metrics()["totals"]["completed"] == 12


def test_a_batch_ends_with_the_first_exception_or_keeps_them(engine):
    prompts = ["One", "", "Two", ["not a message"]]
    with pytest.raises(InvalidRequestError):
        engine.generate(prompts, max_tokens=1000, ignore_eos=True)
    await_idle(engine)
    answers = engine.generate(prompts, return_exceptions=True, max_tokens=4)
    assert [type(answer).__name__ for answer in answers] == ["Answer", "InvalidRequestError"] * 2
    assert answers[3].field == "messages[0]"


def test_a_batch_shows_its_progress_if_asked(engine, capsys):
    engine.generate(["One", "Two"], progress=True, max_tokens=2)
    assert "2/2" in capsys.readouterr().err
    engine.generate(["One", "Two"], max_tokens=2)
    assert capsys.readouterr().err == "", "standard error is no terminal here"


def test_a_full_line_refuses_with_a_time_to_come_back():
    with Engine(scheduler="default", kv_cache_mb=32, max_seqs=1, max_queue_depth=0) as engine:
        with engine.stream("One", max_tokens=1000, ignore_eos=True) as running:
            next(running)
            with pytest.raises(RefusedError) as refused:
                engine.complete("Two")
        assert (refused.value.code, refused.value.field) == ("server_is_overloaded", None)
        assert 1 <= refused.value.retry_after <= 120


def test_the_examples_do_what_they_say(engine):
    done = doctest.testmod(parkade.engine, extraglobs={"engine": engine})
    assert (done.failed, done.attempted > 20) == (0, True)


def test_what_comes_back_can_be_sent_to_another_process(engine):
    answer = engine.complete("One", max_tokens=3, logprobs=1)
    assert pickle.loads(pickle.dumps(answer)) == answer
    with pytest.raises(InvalidRequestError) as wrong:
        engine.complete("One", temperature=-1)
    copy = pickle.loads(pickle.dumps(wrong.value))
    assert (str(copy), copy.code, copy.field) == (str(wrong.value), "invalid_value", "temperature")


def test_the_version_and_the_types_can_be_read_at_run_time():
    assert parkade.__version__ == importlib.metadata.version("parkade")
    for method in [Engine.__init__, Engine.chat, Engine.stream, Engine.generate, Engine.astream, Engine.status]:
        if sys.version_info >= (3, 11):
            assert typing.get_type_hints(method), method
