"""Holders of keys learn nothing of each other, and each pays for what was done for it, however its stream was read."""

import json

import httpx
import pytest

from test_keys import client, entry, eventually

SECRET = "The patient's name is Johanna Weiss and the diagnosis is this: " + "she sleeps badly and dreams of trains. " * 12


@pytest.fixture(params=["parking-lot", "default"])
def guarded(request, tmp_path, start):
    keys = tmp_path / "keys.toml"
    shared = 'cache_group = "ward"'
    keys.write_text(entry("ada", "sk-ada") + entry("bob", "sk-bob") + entry("cat", "sk-cat", shared) + entry("dan", "sk-dan", shared))
    return start("--scheduler", request.param, "--api-keys", str(keys))


def cached(guarded, key: str, **extra) -> int:
    with client(guarded, key) as holder:
        answer = holder.completions.create(model="default", prompt=SECRET, max_tokens=1, extra_body=extra)
    return answer.usage.prompt_tokens_details.cached_tokens


def test_a_right_guess_of_anothers_prompt_looks_like_a_wrong_one(guarded):
    assert cached(guarded, "sk-ada") == 0
    assert cached(guarded, "sk-ada") > 64
    assert cached(guarded, "sk-bob") == 0
    assert cached(guarded, "sk-cat", user="ada") == 0
    assert cached(guarded, "sk-dan") > 64, "they share on purpose"
    assert cached(guarded, "sk-dan", cache_salt="a") == 0
    assert cached(guarded, "sk-cat", cache_salt="a") > 64


def test_a_keys_page_of_metrics_does_not_change_with_what_others_do(guarded):
    def page(key: str) -> dict:
        answer = httpx.get(guarded.url + "/v1/metrics", headers={"authorization": f"Bearer {key}"}, timeout=30).json()
        return {name: value for name, value in answer.items() if name != "uptime_seconds"}

    before = page("sk-bob")
    with client(guarded, "sk-ada") as ada:
        stream = ada.completions.create(model="default", prompt=SECRET, max_tokens=100, stream=True, extra_body={"ignore_eos": True})
        next(iter(stream))
        assert page("sk-ada")["requests"]["running"] == 1
        assert page("sk-bob") == before
        stream.close()
    eventually(lambda: page("sk-ada")["totals"]["cancelled"] == 1, "her request ends")
    assert page("sk-bob") == before


@pytest.mark.parametrize("guarded", ["parking-lot"], indirect=True)
def test_a_request_that_others_read_to_its_end_has_one_line_in_the_log_with_all_its_tokens(guarded):
    headers = {"authorization": "Bearer sk-ada", "x-request-id": "it"}
    body = {"prompt": "Once upon a time", "max_tokens": 90, "stream": True, "ignore_eos": True}
    both = [httpx.Client(base_url=guarded.url, headers=headers, timeout=60) for _ in range(2)]
    with both[0] as her, both[1] as other:
        with her.stream("POST", "/v1/completions", json=body) as stream:
            first = stream.iter_lines()  # Kept: without it httpx closes the stream.
            next(first)
            with other.stream("GET", "/v1/requests/it/stream") as along:
                lines = along.iter_lines()
                next(lines)
                stream.close()
                assert "data: [DONE]" in list(lines)
        eventually(lambda: other.get("/v1/requests/it").json()["state"] == "ended", "the end")
        card = other.get("/v1/requests/it").json()
    assert (card["completion_tokens"], card["error"]) == (90, None)

    def lines_of_it() -> list[dict]:
        records = [json.loads(line) for line in guarded.log.splitlines() if '"it"' in line]
        fields = [record.get("fields", record) for record in records]
        return [line for line in fields if line.get("route") == "/v1/completions"]

    eventually(lines_of_it, "its line in the log")
    assert guarded.get("/health").status_code == 200
    (line,) = lines_of_it()
    assert (line["completion_tokens"], line["delivered"]) == (90, False)
