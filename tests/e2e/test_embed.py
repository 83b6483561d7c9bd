"""`parkade embed` and `parkade run` with models that do not generate text."""

import json

import httpx
import pytest

from process import PATIENCE, parkade


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The file of a small model of a shape."""
    folder = tmp_path_factory.mktemp("models")

    def made(shape: str) -> str:
        path = folder / f"{shape}.gguf"
        if not path.exists():
            done = parkade("synth", "--shape", shape, str(path))
            assert done.returncode == 0, done.stderr.decode()
        return str(path)

    return made


def test_each_line_of_standard_input_has_its_embedding(tiny):
    done = parkade("embed", "-m", tiny("tiny-bert"), stdin="one text\nanother, é\n".encode())
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["index"] for line in found] == [0, 1] and all(len(line["embedding"]) == 96 for line in found)
    alone = parkade("embed", "-m", tiny("tiny-bert"), "another, é")
    assert json.loads(alone.stdout)["embedding"] == found[1]["embedding"]


@pytest.mark.parametrize("text", ["one text", "a [SEP] b", "</s><s>", "  spaces  "])
def test_the_command_and_the_server_make_the_same_of_a_text(tiny, start, text):
    server = start("--model", tiny("tiny-bert"))
    answer = httpx.post(server.url + "/v1/embeddings", json={"input": text}, timeout=PATIENCE).json()
    done = parkade("embed", "-m", tiny("tiny-bert"), text)
    line = json.loads(done.stdout)
    assert line["embedding"] == answer["data"][0]["embedding"]
    assert line["prompt_tokens"] == answer["usage"]["prompt_tokens"]


@pytest.mark.parametrize("bad", ["é".encode("latin-1"), b"\xff\xfe", b"a\xe2\x82", "é".encode("utf-16")])
def test_a_line_that_is_no_text_is_named_with_the_remedy(tiny, bad):
    done = parkade("embed", "-m", tiny("tiny-bert"), stdin=b"one\ntwo\n" + bad + b"\nfour\n")
    said = done.stderr.decode()
    assert done.returncode == 1 and "line 3 of standard input is not UTF-8" in said and "iconv" in said, said


@pytest.mark.parametrize(
    ("command", "shape", "said"),
    [
        (["run", "-i", "Hi"], "tiny-bert", ["gives embeddings and does not answer", "`parkade embed` takes it"]),
        (["run", "-i", "Hi"], "tiny-qwen3-embedding", ["gives embeddings and does not answer", "/v1/embeddings"]),
        (["run", "-i", "Hi"], "tiny-bert-rerank", ["ranks documents and does not answer", "/v1/rerank"]),
        (["run", "-i", "Hi"], "tiny-qwen3-rerank", ["ranks documents and does not answer", "/v1/rerank"]),
        (["embed", "Hi"], "tiny-qwen3-rerank", ["ranks documents", "/v1/rerank"]),
        (["embed", "Hi"], "tiny-qwen3", ["generates text", "`parkade run` takes it", "--pooling"]),
    ],
)
def test_a_model_that_does_something_else_is_refused_with_the_command_that_takes_it(tiny, command, shape, said):
    done = parkade(*command, "--model", tiny(shape))
    message = done.stderr.decode()
    assert done.returncode == 1 and done.stdout == b"" and all(words in message for words in said), message
    assert "--model" in message
