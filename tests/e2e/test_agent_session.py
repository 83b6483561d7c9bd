"""An agent's session: from its second turn on what it repeats comes from the cache, in both dialects that agents speak."""

import struct

import anthropic
import openai
import pytest

from agent_session import Session
from process import PATIENCE, Server, parkade

CONTEXT = 32_768
# The part of a turn's prompt that the turn before had, and that need not be computed again.
SHARE = 0.99


@pytest.fixture(scope="module")
def long_server(tmp_path_factory):
    """A random model of two layers; the context in its file is made longer, as no small model's is."""
    file = tmp_path_factory.mktemp("session") / "long.gguf"
    done = parkade("synth", "--shape", "qwen3-0.6b", "--scale", "28", str(file))
    assert done.returncode == 0, done.stderr.decode()
    key = b"qwen3.context_length"
    with open(file, "r+b") as model:
        # Behind the key stand its type (4: a number of 32 bits) and the number.
        at = model.read(1 << 20).index(key) + len(key)
        model.seek(at)
        assert struct.unpack("<II", model.read(8))[0] == 4
        model.seek(at + 4)
        model.write(struct.pack("<I", CONTEXT))
    running = Server("--model", str(file), "--kv-cache-mb", "512")
    yield running
    running.close()


def by_chat(server):
    with openai.OpenAI(base_url=server.url + "/v1", api_key="unused", max_retries=0, timeout=PATIENCE) as client:

        def ask(session, turn):
            usage = client.chat.completions.create(model="default", max_tokens=4, **session.chat(turn)).usage
            return usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens

        yield ask


def by_messages(server):
    with anthropic.Anthropic(base_url=server.url, api_key="unused", max_retries=0, timeout=PATIENCE) as client:

        def ask(session, turn):
            usage = client.messages.create(model="default", max_tokens=4, **session.messages(turn)).usage
            return usage.input_tokens + usage.cache_read_input_tokens, usage.cache_read_input_tokens

        yield ask


@pytest.mark.parametrize("dialect", [by_chat, by_messages])
def test_what_a_session_repeats_comes_from_the_cache(long_server, dialect):
    session = Session(seed={by_chat: 1, by_messages: 2}[dialect])
    for ask in dialect(long_server):
        turns = [ask(session, turn) for turn in range(len(session.turns))]
    assert turns[-1][0] > 20_000, "the session is a long one"
    for (before, _), (_, cached) in zip(turns, turns[1:]):
        assert cached >= SHARE * before, f"{cached} of {before} tokens: {turns}"
