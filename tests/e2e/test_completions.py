"""Text completions through the official client."""

import json
import math
import pathlib

import pytest

PROMPT = "The capital of France is"
MODEL = "default"
ORACLE = json.loads((pathlib.Path(__file__).parents[1] / "oracle" / "smollm2-q4_1.json").read_text())


def complete(client, prompt=PROMPT, **extra):
    return client.completions.create(**{"model": MODEL, "prompt": prompt, "temperature": 0, "max_tokens": 12, **extra})


def test_a_prompt_is_continued(client):
    answer = complete(client)
    assert answer.object == "text_completion"
    assert "Paris" in answer.choices[0].text
    assert answer.usage.completion_tokens <= 12


def test_a_stream_spells_the_whole_text(client):
    whole = complete(client)
    chunks = list(complete(client, stream=True))
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == whole.choices[0].text
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason


@pytest.mark.parametrize("case", ORACLE["greedy"], ids=lambda case: case["text"][:24])
def test_greedy_answers_are_those_of_the_reference(client, case):
    """Token for token as far as the reference itself is sure of its choice."""
    gaps = case["top1_minus_top2"]
    sure = next((i for i, gap in enumerate(gaps) if gap <= 0.1), len(gaps))
    assert sure > 0
    answer = complete(client, prompt=case["text"], max_tokens=len(case["ids"]), logprobs=0)
    generated = "".join(answer.choices[0].logprobs.tokens[:sure])
    assert len(generated) >= sure and case["content"].startswith(generated)


def test_echo_repeats_the_prompt_before_the_answer(client):
    answer = complete(client)
    echoed = complete(client, echo=True)
    assert echoed.choices[0].text == PROMPT + answer.choices[0].text


def test_echo_with_logprobs_gives_the_prompts_own(client):
    answer = complete(client, echo=True, logprobs=2, max_tokens=3)
    logprobs = answer.choices[0].logprobs
    assert logprobs.token_logprobs[0] is None
    assert all(value is not None and value <= 0 and math.isfinite(value) for value in logprobs.token_logprobs[1:])
    assert "".join(logprobs.tokens) == answer.choices[0].text
    offsets = [sum(len(token) for token in logprobs.tokens[:i]) for i in range(len(logprobs.tokens))]
    assert logprobs.text_offset == offsets
    assert len(logprobs.tokens) == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_an_array_of_prompts_gets_one_answer_each_in_order(client):
    prompts = [PROMPT, "The capital of Italy is", "Two plus two is"]
    together = complete(client, prompt=prompts)
    assert [choice.index for choice in together.choices] == [0, 1, 2]
    assert [choice.text for choice in together.choices] == [complete(client, prompt=prompt).choices[0].text for prompt in prompts]
    assert together.usage.prompt_tokens == sum(complete(client, prompt=prompt).usage.prompt_tokens for prompt in prompts)


def test_n_answers_to_each_prompt_of_an_array_are_grouped_by_prompt(client):
    together = complete(client, prompt=["One,", "Red,"], n=2, temperature=1, seed=3, max_tokens=4)
    assert [choice.index for choice in together.choices] == [0, 1, 2, 3]
    first = complete(client, prompt="One,", n=2, temperature=1, seed=3, max_tokens=4)
    assert [choice.text for choice in together.choices[:2]] == [choice.text for choice in first.choices]


def test_token_ids_are_taken_as_a_prompt(client):
    hello_world = [19556, 28, 905, 17]
    by_ids = complete(client, prompt=hello_world)
    by_text = complete(client, prompt="Hello, world!")
    assert by_ids.choices[0].text == by_text.choices[0].text
    assert by_ids.usage.prompt_tokens == 4
    arrays = complete(client, prompt=[hello_world, hello_world])
    assert [choice.text for choice in arrays.choices] == [by_ids.choices[0].text] * 2


def test_no_tokens_but_the_prompts_logprobs_can_be_asked_for(client):
    answer = complete(client, echo=True, logprobs=1, max_tokens=0)
    assert answer.choices[0].text == PROMPT
    assert len(answer.choices[0].logprobs.tokens) == answer.usage.prompt_tokens


def test_multibyte_characters_stream_whole(client):
    """A character of several tokens arrives in one piece, never as replacement characters."""
    emoji = "Repeat: 🙂👩‍👩‍👧🚀日本語\nRepeat: 🙂👩‍👩‍👧🚀日本語\nRepeat:"
    whole = complete(client, prompt=emoji, max_tokens=40).choices[0].text
    pieces = [choice.text for chunk in complete(client, prompt=emoji, max_tokens=40, stream=True) for choice in chunk.choices]
    assert "".join(pieces) == whole
    assert "🙂" in whole
    assert all("\ufffd" not in piece for piece in pieces[:-1])


def test_stop_strings_and_ignored_ends_work_together(client):
    answer = complete(client, max_tokens=40, stop=["."], extra_body={"ignore_eos": True})
    assert "." not in answer.choices[0].text
    assert answer.choices[0].finish_reason == "stop"


def test_positions_count_special_tokens_that_were_sent(client):
    answer = complete(client, prompt=[0, 0, 504], echo=True, logprobs=0, max_tokens=2).choices[0]
    assert answer.text == "<|endoftext|><|endoftext|>The" + "".join(answer.logprobs.tokens[3:])
    assert answer.logprobs.tokens[:3] == ["<|endoftext|>", "<|endoftext|>", "The"]
    assert answer.logprobs.text_offset == [0, 13, 26, 29, 29 + len(answer.logprobs.tokens[3])]


@pytest.mark.parametrize("prompt", ["naïve 🙂👩‍👩‍👧 日本語", [3546, 46494, 10813, 235, 119], "<|im_start|>user\nhi"], ids=str)
def test_positions_point_into_the_text_also_within_characters(client, prompt):
    answer = complete(client, prompt=prompt, echo=True, logprobs=0, max_tokens=6).choices[0]
    offsets = answer.logprobs.text_offset
    assert offsets[0] == 0 and offsets == sorted(offsets) and offsets[-1] <= len(answer.text)
    for token, offset in zip(answer.logprobs.tokens, offsets):
        assert token.startswith("bytes:") or answer.text[offset:].startswith(token)
