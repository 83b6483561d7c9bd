"""What happens to a model file under a running server, and what a file may have wrong without being refused."""

import re
import shutil
import signal
import struct

import httpx
import pytest

from process import default_model, parkade

QUESTION = {"messages": [{"role": "user", "content": "Name three colours."}], "max_tokens": 24, "temperature": 0, "seed": 1}


@pytest.fixture
def model(tmp_path):
    """A copy of the default model that may be damaged."""
    path = tmp_path / "model.gguf"
    shutil.copy(default_model(), path)
    return path


def ask(server) -> dict:
    answer = httpx.post(server.url + "/v1/chat/completions", json=QUESTION, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()["choices"][0]


def test_a_file_that_is_overwritten_and_cut_while_it_is_served_changes_nothing(start, model):
    server = start("--model", str(model), "--kv-cache-mb", "64")
    expected = ask(server)
    with open(model, "r+b") as file:
        for _ in range(model.stat().st_size >> 20):
            file.write(b"\xa5" * (1 << 20))
        file.flush()
        assert ask(server) == expected
        file.truncate(0)
    assert ask(server) == expected
    model.unlink()
    assert ask(server) == expected
    server.signal(signal.SIGTERM)
    assert server.wait() == 0, server.log


def test_resident_memory_is_the_weights_and_the_cache_and_little_more(start):
    cache = 64 << 20
    server = start("--kv-cache-mb", str(cache >> 20))
    ask(server)
    status = open(f"/proc/{server.process.pid}/status").read()
    resident, mapped = (int(re.search(rf"{name}:\s+(\d+) kB", status).group(1)) << 10 for name in ("VmRSS", "RssFile"))
    weights = default_model().stat().st_size
    # The program itself is a mapped file, too; the debug one is large.
    assert resident - mapped <= (weights + cache) * 1.15 + (60 << 20), status
    with open(f"/proc/{server.process.pid}/maps") as maps:
        assert ".gguf" not in maps.read()


def patched(path, key: bytes, value: bytes) -> None:
    """Writes another value of the same type and length for a key."""
    with open(path, "r+b") as file:
        at = file.read(4 << 20).index(key) + len(key) + 4
        file.seek(at)
        file.write(value)


def test_a_special_id_that_names_no_token_is_a_warning(start, model):
    patched(model, b"tokenizer.ggml.padding_token_id", struct.pack("<I", 0xFFFFFFFF))
    patched(model, b"tokenizer.ggml.eos_token_id", struct.pack("<I", 70_000))
    server = start("--model", str(model), "--kv-cache-mb", "64")
    assert ask(server)["finish_reason"] in ("stop", "length")
    for key in ("padding_token_id", "eos_token_id"):
        assert server.log.count(f"tokenizer.ggml.{key} is") == 1, server.log
    report = parkade("doctor", "--model", str(model)).stdout.decode()
    assert re.search(r"^warn  metadata +tokenizer\.ggml\.eos_token_id is 70000, but the vocabulary", report, re.M), report
    assert re.search("^ok    answer", report, re.M), report
