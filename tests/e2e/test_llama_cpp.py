"""llama.cpp's own paths, as its clients use them."""

import json

import httpx
import pytest

from process import PATIENCE

PROMPT = "The capital of France is"


def ask(server, path, **body):
    return httpx.post(server.url + path, json=body, timeout=PATIENCE)


def ok(server, path, **body):
    answer = ask(server, path, **body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_completion_is_continued_whole_and_streamed(server):
    whole = ok(server, "/completion", prompt=PROMPT, n_predict=8, temperature=0)
    assert "Paris" in whole["content"] and whole["stop"] and whole["tokens_predicted"] <= 8
    with httpx.stream(
        "POST", server.url + "/completion", json={"prompt": PROMPT, "n_predict": 8, "temperature": 0, "stream": True}, timeout=PATIENCE
    ) as stream:
        events = [json.loads(line.removeprefix("data: ")) for line in stream.iter_lines() if line.startswith("data: ")]
    assert "".join(event["content"] for event in events) == whole["content"]
    assert [event["stop"] for event in events] == [False] * (len(events) - 1) + [True]
    assert events[-1]["stop_type"] == whole["stop_type"]


def test_text_becomes_tokens_and_comes_back(server):
    text = "Grüße, 世界! def f(x): return x"
    tokens = ok(server, "/tokenize", content=text)["tokens"]
    assert ok(server, "/detokenize", tokens=tokens)["content"] == text
    vllm = ok(server, "/tokenize", prompt=text)
    assert vllm["tokens"] == tokens and vllm["count"] == len(tokens)


def test_a_chat_has_as_many_tokens_as_it_uses(server):
    messages = [{"role": "user", "content": "Hello"}]
    prompt = ok(server, "/apply-template", messages=messages)["prompt"]
    assert prompt.endswith("<|im_start|>assistant\n") and "Hello" in prompt
    count = ok(server, "/tokenize", messages=messages)["count"]
    used = ok(server, "/v1/chat/completions", messages=messages, max_tokens=1)["usage"]["prompt_tokens"]
    assert count == used == ok(server, "/tokenize", prompt=prompt)["count"]


def test_a_model_that_fills_no_gaps_says_so(server):
    for path, body in [("/infill", {"input_prefix": "a", "input_suffix": "b"}), ("/v1/completions", {"prompt": "a", "suffix": "b"})]:
        answer = ask(server, path, **body)
        assert answer.status_code == 400 and "cannot fill in the middle" in answer.json()["error"]["message"]


def test_the_server_says_what_it_is_like(server):
    props, slots = (httpx.get(server.url + path, timeout=PATIENCE).json() for path in ("/props", "/slots"))
    assert props["total_slots"] == len(slots)
    assert props["model_path"].endswith(".gguf") and "/" not in props["model_path"]
    info = httpx.get(server.url + "/tokenizer_info", timeout=PATIENCE).json()
    assert info["eos_token"] == "<|im_end|>"


def test_an_alias_is_the_models_name(start):
    server = start("--alias", "gpt-4o, helper")
    models = httpx.get(server.url + "/v1/models", timeout=PATIENCE).json()["data"]
    assert [model["id"] for model in models] == ["gpt-4o"]
    assert models[0]["aliases"] == ["gpt-4o", "helper"] and models[0]["context_length"] > 0
    for name in ("gpt-4o", "helper", "default", models[0]["root"]):
        assert ok(server, "/v1/completions", model=name, prompt="a", max_tokens=1)["model"] == "gpt-4o"


@pytest.mark.parametrize("as_variable", [False, True])
def test_a_key_needs_no_file(start, as_variable):
    from process import environment

    if as_variable:
        server = start(env=environment(PARKADE_API_KEY="sk-one, sk-two"))
    else:
        server = start("--api-key", "sk-one", "--api-key", "sk-two")
    for key, status in [("sk-one", 200), ("sk-two", 200), ("sk-three", 401), (None, 401)]:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        for path in ("/v1/models", "/props"):
            assert httpx.get(server.url + path, headers=headers, timeout=PATIENCE).status_code == status
    assert "sk-" not in server.log
