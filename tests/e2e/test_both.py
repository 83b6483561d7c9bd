"""A chat model and an embedder in one process."""

import concurrent.futures
import signal
import time

import openai
import pytest

from process import PATIENCE, parkade

CHAT = [{"role": "user", "content": "What is the chemical formula of water?"}]


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tiny-bert.gguf"
    done = parkade("synth", "--shape", "tiny-bert", str(path))
    assert done.returncode == 0, done.stderr.decode()
    return path


@pytest.fixture(params=["parking-lot", "default"])
def both(start, embedder, request):
    server = start("--embedding-model", str(embedder), "--scheduler", request.param)
    with openai.OpenAI(base_url=server.url + "/v1", api_key="unused", max_retries=0, timeout=PATIENCE) as client:
        yield client
    server.await_idle()


def ask(client, **more):
    return client.chat.completions.create(model="default", messages=CHAT, temperature=0, max_tokens=12, **more)


def test_both_are_listed_and_each_answers_what_it_has_learnt(both):
    names = [model.id for model in both.models.list()]
    assert names == ["SmolLM2-135M-Instruct.Q4_1", "tiny-bert"]
    assert "H2O" in ask(both).choices[0].message.content
    found = both.embeddings.create(model="tiny-bert", input=["one text", "another"])
    assert [len(item.embedding) for item in found.data] == [96, 96] and found.model == "tiny-bert"
    # The default of that path.
    again = both.embeddings.create(model="default", input="one text")
    assert again.data[0].embedding == found.data[0].embedding
    with pytest.raises(openai.BadRequestError, match="this path is for one that generates text") as wrong:
        both.chat.completions.create(model="tiny-bert", messages=CHAT)
    assert wrong.value.code == "model_not_supported"
    with pytest.raises(openai.BadRequestError, match="this path is for one that gives embeddings, as .*tiny-bert.* here"):
        both.embeddings.create(model=names[0], input="one text")


def test_a_chat_beside_thousands_of_texts_has_the_answer_that_it_has_alone(both):
    alone = ask(both).choices[0].message.content
    texts = [f"text number {number} with some words behind it" for number in range(2048)]

    def embed():
        return both.embeddings.create(model="tiny-bert", input=texts, extra_body={"service_tier": "flex"})

    with concurrent.futures.ThreadPoolExecutor() as pool:
        batches = [pool.submit(embed) for _ in range(2)]
        answers = []
        while not all(batch.done() for batch in batches):
            answers.append(ask(both).choices[0].message.content)
            time.sleep(0.01)
        sizes = [len(batch.result().data) for batch in batches]
    assert sizes == [2048, 2048] and answers and set(answers) == {alone}


def test_what_cannot_be_a_second_model_is_refused_with_its_setting(embedder, tmp_path):
    same_name = tmp_path / "tiny-bert.gguf"
    same_name.write_bytes(embedder.read_bytes())
    for flags, said in [
        (["--embedding-model", "default"], "of another name than the first model's"),
        (["--model", str(embedder), "--embedding-model", str(same_name)], "of another name than the first model's"),
        (["--embedding-model", str(tmp_path / "none.gguf")], "embedding-model is from the flag --embedding-model"),
        (["--embedding-model", str(embedder), "--embedding-kv-mb", "16000000"], "embedding-kv-mb is 16000000"),
    ]:
        done = parkade("serve", "--port", "0", *flags)
        assert done.returncode != 0 and said in done.stderr.decode(), done.stderr.decode()
    decoder = tmp_path / "tiny-qwen3.gguf"
    assert parkade("synth", "--shape", "tiny-qwen3", str(decoder)).returncode == 0
    done = parkade("serve", "--port", "0", "--model", str(embedder), "--embedding-model", str(decoder))
    assert done.returncode != 0 and "it must be a model of embeddings or a reranker" in done.stderr.decode()


def test_texts_that_were_taken_are_embedded_although_the_server_is_to_end(start, embedder):
    server = start("--embedding-model", str(embedder))
    texts = [f"text number {number} with some words behind it" * 8 for number in range(2048)]
    with openai.OpenAI(base_url=server.url + "/v1", api_key="unused", max_retries=0, timeout=PATIENCE) as client:
        client.embeddings.create(model="tiny-bert", input="the model is there")
        with concurrent.futures.ThreadPoolExecutor() as pool:
            batch = pool.submit(client.embeddings.create, model="tiny-bert", input=texts)
            time.sleep(0.3)
            server.signal(signal.SIGTERM)
            assert len(batch.result().data) == 2048
    assert server.process.wait(PATIENCE) == 0
