"""API keys: who may ask, how often, and that they can be replaced while the server runs."""

import signal
import time

import openai
import pytest

from process import PATIENCE, parkade

SHORT = {"model": "default", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4}


def entry(name: str, key: str, more: str = "") -> str:
    hashed = parkade("hash-key", stdin=key.encode() + b"\n").stdout.decode().strip()
    return f'[[key]]\nname = "{name}"\nkey_sha256 = "{hashed}"\nhighest_class = "normal"\n{more}\n'


def client(server, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url + "/v1", api_key=key, max_retries=0, timeout=PATIENCE)


def eventually(condition, what: str) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, f"never: {what}"
        time.sleep(0.02)


@pytest.fixture
def keys(tmp_path):
    return tmp_path / "keys.toml"


def test_a_key_opens_the_server_and_caps_the_tier(keys, start):
    keys.write_text(entry("ada", "sk-ada"))
    server = start("--api-keys", str(keys))
    with client(server, "sk-ada") as ada:
        answer = ada.chat.completions.create(**SHORT, service_tier="priority")
    assert answer.service_tier == "default"
    with client(server, "sk-bob") as bob, pytest.raises(openai.AuthenticationError) as refused:
        bob.chat.completions.create(**SHORT)
    assert refused.value.code == "invalid_api_key"
    assert server.get("/v1/models").status_code == 401
    assert server.get("/metrics").status_code == 200
    assert "sk-" not in server.log


def test_a_rate_is_openais_429(keys, start):
    keys.write_text(entry("ada", "sk-ada", "requests_per_minute = 1"))
    server = start("--api-keys", str(keys))
    with client(server, "sk-ada") as ada:
        first = ada.chat.completions.with_raw_response.create(**SHORT)
        assert first.headers["x-ratelimit-remaining-requests"] == "0"
        with pytest.raises(openai.RateLimitError) as refused:
            ada.chat.completions.create(**SHORT)
    assert refused.value.code == "rate_limit_exceeded"
    assert 1 <= int(refused.value.response.headers["retry-after"]) <= 60


def test_a_hangup_replaces_the_keys_and_drops_nothing(keys, start):
    keys.write_text(entry("ada", "sk-ada"))
    server = start("--api-keys", str(keys))
    with client(server, "sk-ada") as ada, client(server, "sk-bob") as bob:
        stream = ada.chat.completions.create(**{**SHORT, "max_tokens": 200}, stream=True, extra_body={"ignore_eos": True})
        next(stream)
        keys.write_text("[[key]]\nname = 1\n")
        server.signal(signal.SIGHUP)
        eventually(lambda: "everything stays as it was" in server.log, "the broken file is refused")
        assert str(keys) in server.log
        assert ada.models.list().data
        keys.write_text(entry("bob", "sk-bob"))
        server.signal(signal.SIGHUP)
        eventually(lambda: "were read again" in server.log, "the new file is taken")
        assert bob.models.list().data
        with pytest.raises(openai.AuthenticationError):
            ada.models.list()
        assert [chunk.choices[0].finish_reason for chunk in stream][-1] == "length"


def test_a_hangup_replaces_the_limits_of_the_lot_and_drops_nothing(tmp_path, start):
    config = tmp_path / "config.toml"
    config.write_text("[parking-lot]\npreempt = true\n")
    server = start("--config", str(config))
    with client(server, "unused") as everyone:
        endless = {**SHORT, "max_tokens": 1500, "user": "ada", "extra_body": {"ignore_eos": True}, "stream": True}
        running = everyone.chat.completions.create(**endless)
        next(running)
        everyone.chat.completions.create(**SHORT, user="ada")
        config.write_text("[parking-lot]\nclass-weights = { high = 0 }\n")
        server.signal(signal.SIGHUP)
        eventually(lambda: "everything stays as it was" in server.log, "the wrong weight is refused")
        assert "class-weights.high is 0" in server.log
        config.write_text("[parking-lot.tenants.ada]\nmax-concurrent = 1\n")
        server.signal(signal.SIGHUP)
        eventually(lambda: "were read again" in server.log, "the new limits are taken")
        with pytest.raises(openai.RateLimitError) as refused:
            everyone.chat.completions.create(**SHORT, user="ada")
        assert refused.value.code == "rate_limit_exceeded"
        everyone.chat.completions.create(**SHORT, user="bob")
        next(running)
        running.close()
    server.await_idle()


def test_a_wrong_file_is_refused_before_the_port_opens(keys):
    keys.write_text(entry("ada", "sk-ada", "weight = 0"))
    done = parkade("serve", "--port", "0", "--api-keys", str(keys))
    said = done.stderr.decode()
    assert done.returncode == 2
    assert f"{keys}: key 1 ('ada'): weight is 0; use a whole number from 1 to 10000" in said


def test_weights_and_limits_stand_in_the_configuration_file(tmp_path, start):
    config = tmp_path / "config.toml"
    config.write_text("[parking-lot]\nclass-weights = { high = 0 }\n")
    done = parkade("serve", "--port", "0", "--config", str(config))
    assert done.returncode == 2
    assert "[parking-lot]: class-weights.high is 0; use a whole number from 1 to 10000" in done.stderr.decode()
    config.write_text("[parking-lot.tenants.ada]\nrequests-per-minute = 1\n")
    server = start("--config", str(config))
    assert server.get("/v1/metrics").json()["scheduler_type"] == "parking-lot"
    with client(server, "unused") as everyone:
        everyone.chat.completions.create(**SHORT, user="ada")
        with pytest.raises(openai.RateLimitError):
            everyone.chat.completions.create(**SHORT, user="ada")
        everyone.chat.completions.create(**SHORT, user="bob")
