"""Webhooks by Standard Webhooks, unwrapped by the official client; and the book of deeds."""

import base64
import hashlib
import json
import os
import signal

import httpx
import openai
import pytest

from process import PATIENCE, environment, parkade
from receiver import Receiver


def secret() -> str:
    return "whsec_" + base64.b64encode(os.urandom(32)).decode()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    done = parkade("synth", "--shape", "tiny-qwen2", str(path))
    assert done.returncode == 0, done.stderr.decode()
    return path


@pytest.fixture
def receiver():
    listening = Receiver()
    yield listening
    listening.close()


@pytest.fixture
def serve(start, tiny, tmp_path):
    def serving(*arguments: str, store: str = "", **variables: str):
        settings = ["--model", str(tiny), "--threads", "1", "--kv-cache-mb", "16", "--max-seqs", "4"]
        store = store or str(tmp_path / "parkade.db")
        return start(*settings, "--store", store, *arguments, env=environment(**variables))

    return serving


def client(server, key: str = "unused") -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url + "/v1", api_key=key, max_retries=0, timeout=PATIENCE)


def submit(caller: openai.OpenAI, lines: int = 1) -> str:
    body = {"model": "default", "prompt": "a", "max_tokens": 2}
    line = {"method": "POST", "url": "/v1/completions", "body": body}
    text = "\n".join(json.dumps({"custom_id": str(number), **line}) for number in range(lines))
    file = caller.files.create(file=("lines.jsonl", text.encode()), purpose="batch")
    batch = caller.batches.create(input_file_id=file.id, endpoint="/v1/completions", completion_window="24h")
    return batch.id


def unwrap(told, key: str):
    _, headers, body = told
    return openai.OpenAI(api_key="unused").webhooks.unwrap(body, headers, secret=key)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_the_official_client_unwraps_what_a_webhook_is_told(serve, receiver, kind, request):
    store = request.getfixturevalue("database") if kind == "postgres" else ""
    new, old = secret(), secret()
    arguments = ["--webhook-url", receiver.url, "--webhook-allow-private"]
    server = serve(*arguments, store=store, PARKADE_WEBHOOK_SECRET=f"{new},{old}")
    batch = submit(client(server))
    told = receiver.next()
    for key in (new, old):
        event = unwrap(told, key)
        assert (event.type, event.data.id, event.object) == ("batch.completed", batch, "event")
        assert event.id == told[1]["webhook-id"]
    with pytest.raises(openai.InvalidWebhookSignatureError):
        unwrap(told, secret())
    assert new not in server.log and old not in server.log


def test_keys_have_webhooks_of_their_own_and_secrets_change_while_the_server_runs(serve, receiver, tmp_path):
    own = Receiver()
    secrets = {"server": secret(), "ada": secret()}
    in_file, keys = tmp_path / "secret", tmp_path / "keys.toml"
    in_file.write_text(secrets["server"])
    entry = '[[key]]\nname = "{0}"\nkey_sha256 = "{1}"\nhighest_class = "high"\n'
    text = "".join(entry.format(name, hashlib.sha256(f"sk-{name}".encode()).hexdigest()) for name in ("bob", "ada"))
    keys.write_text(text + f'webhook_url = "{own.url}"\nwebhook_secret = "{secrets["ada"]}"\n')
    arguments = ["--webhook-url", receiver.url, "--webhook-secret-file", str(in_file), "--webhook-allow-private"]
    server = serve(*arguments, "--api-keys", str(keys))
    try:
        of_ada = submit(client(server, "sk-ada"))
        assert unwrap(own.next(), secrets["ada"]).data.id == of_ada
        of_bob = submit(client(server, "sk-bob"))
        assert unwrap(receiver.next(), secrets["server"]).data.id == of_bob
        new = secret()
        in_file.write_text(f"{new}\n{secrets['server']}\n")
        server.signal(signal.SIGHUP)
        server._until(lambda: "were read again" in server.log, "the new secret")
        later = submit(client(server, "sk-bob"))
        told = receiver.next()
        assert unwrap(told, new).data.id == unwrap(told, secrets["server"]).data.id == later
        assert own.told.empty() and receiver.told.empty()
    finally:
        own.close()


def test_an_event_outlives_the_server_that_could_not_send_it(serve, tmp_path):
    key = secret()
    refusing = Receiver(503)
    arguments = ["--webhook-url", refusing.url, "--webhook-allow-private"]
    try:
        server = serve(*arguments, PARKADE_WEBHOOK_SECRET=key)
        batch = submit(client(server))
        first = refusing.next()
        server._until(lambda: server.metric("parkade_webhook_attempts_total") == 1, "the failure")
        server.close()
        serve(*arguments, PARKADE_WEBHOOK_SECRET=key)
        second = refusing.next()
        assert unwrap(second, key).data.id == batch
        assert first[1]["webhook-id"] == second[1]["webhook-id"]
    finally:
        refusing.close()


def test_a_webhook_that_cannot_be_is_refused_at_the_start_and_no_secret_is_shown(tiny):
    key = secret()

    def refused(*arguments: str, **variables: str) -> str:
        done = parkade("serve", "--model", str(tiny), "--port", "0", *arguments, env=environment(**variables))
        said = done.stderr.decode()
        assert done.returncode == 2 and key not in said, said
        return said

    for url in ("https://localhost/x", "https://169.254.169.254/", "https://[::1]:9/"):
        assert "in the local network" in refused("--webhook-url", url, PARKADE_WEBHOOK_SECRET=key)
    assert "use https://" in refused("--webhook-url", "http://hooks.example", PARKADE_WEBHOOK_SECRET=key)
    assert "PARKADE_WEBHOOK_SECRET" in refused("--webhook-url", "https://hooks.example")
    assert "24 to 64 random bytes" in refused("--webhook-url", "https://hooks.example", PARKADE_WEBHOOK_SECRET=key[:-20])
    shown = parkade("serve", "--print-config", env=environment(PARKADE_WEBHOOK_SECRET=key))
    assert shown.returncode == 0 and key.encode() not in shown.stdout and b"webhook-url" in shown.stdout


def test_what_was_done_is_in_the_book(serve):
    server = serve()
    batch = submit(client(server))
    server._until(lambda: httpx.get(f"{server.url}/v1/batches/{batch}").json()["status"] == "completed", "its end")
    page = httpx.get(f"{server.url}/v1/audit", params={"object": batch}).json()
    assert [(deed["actor"], deed["action"]) for deed in page["data"]] == [
        ("parkade", "batch.completed"),
        ("anonymous", "batch.created"),
    ]
    pruned = httpx.delete(f"{server.url}/v1/audit", params={"before": "2100-01-01"}).json()
    assert pruned["deleted"] == 3
    assert [deed["action"] for deed in httpx.get(f"{server.url}/v1/audit").json()["data"]] == ["audit.pruned"]
