"""Which tokens may come, and what answers say besides their text, through the official client."""

import pytest

PROMPT = "Once upon a time there was a"
MODEL = "default"


def complete(client, prompt=PROMPT, **extra):
    own = ("temperature", "seed", "max_tokens", "stop", "n", "best_of", "logit_bias", "stream", "stream_options")
    request = {"model": MODEL, "prompt": prompt, "temperature": 0, "max_tokens": 24}
    request |= {name: extra.pop(name) for name in own if name in extra}
    return client.completions.create(**request, extra_body=extra)


@pytest.mark.parametrize(
    "sampler",
    [
        {"dry_multiplier": 2, "dry_allowed_length": 1},
        {"xtc_probability": 0.5, "xtc_threshold": 0.05},
        {"top_n_sigma": 1.0},
        {"repetition_penalty": 1.3, "repeat_last_n": 16},
        {"bad_words": [" the", " little"]},
    ],
)
def test_a_sampler_gives_the_same_answer_to_the_same_seed(client, sampler):
    first, second = (complete(client, temperature=0.8, seed=7, **sampler).choices[0].text for _ in range(2))
    assert first == second


def test_a_bad_word_does_not_come(client):
    plain = complete(client).choices[0].text
    word = plain.split()[0]
    text = complete(client, bad_words=[word]).choices[0].text
    assert not text.strip().startswith(word)


def test_a_text_may_be_biased(client):
    assert complete(client, logit_bias={" Paris": 100}, max_tokens=3).choices[0].text == " Paris" * 3


def test_an_answer_is_as_long_as_it_must_be(client):
    answer = complete(client, "Yes.", min_tokens=20, stop=["e"], max_tokens=40)
    assert answer.usage.completion_tokens >= 20


def test_token_ids_go_in_and_come_out(client):
    first = complete(client, return_token_ids=True).choices[0].model_extra
    again = complete(client, prompt=first["prompt_token_ids"], return_token_ids=True).choices[0].model_extra
    assert again == first


def test_the_best_answer_is_no_worse_than_the_only_one(client):
    best = complete(client, temperature=1.5, seed=3, n=1, best_of=4)
    assert len(best.choices) == 1
    assert best.usage.completion_tokens > 24


def test_usage_and_timings_come_with_each_chunk(client):
    options = {"include_usage": True, "continuous_usage_stats": True}
    chunks = list(complete(client, stream=True, stream_options=options, timings_per_token=True))
    assert all(chunk.usage.prompt_tokens > 0 for chunk in chunks)
    assert chunks[-1].usage.completion_tokens == chunks[-1].model_extra["timings"]["predicted_n"]
