"""An embedder beside the chat model, in one engine."""

import math

import pytest
from conftest import SCHEDULERS, await_idle
from process import parkade

from parkade import Engine, InvalidRequestError, LoadError


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tiny-bert.gguf"
    done = parkade("synth", "--shape", "tiny-bert", str(path))
    assert done.returncode == 0, done.stderr.decode()
    return path


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_one_engine_chats_and_embeds(embedder, scheduler):
    with Engine(embedding_model=embedder, scheduler=scheduler, kv_cache_mb=64, embedding_kv_mb=16) as both:
        texts = [f"text number {number}" for number in range(600)]
        stream = both.stream("Once upon a time", max_tokens=60)
        next(stream)
        found = both.embed(texts, priority_class="low", tenant="ada")
        assert len(list(stream)) > 0
        assert len(found) == 600 and all(math.isclose(math.hypot(*values), 1, abs_tol=1e-6) for values in found)
        assert both.embed(texts[7]) == found[7]
        assert len(both.embed("A text", dimensions=8)) == 8
        with pytest.raises(InvalidRequestError, match=r"input\[1\]"):
            both.embed(["a", ""])
        with pytest.raises(InvalidRequestError, match="maximum context length"):
            both.embed(" ".join(["long"] * 5000))
        assert len(both.embed(" ".join(["long"] * 5000), truncate=True)) == len(found[0])
        await_idle(both)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_requests_and_figures_of_both_models_are_told(embedder, scheduler):
    with Engine(embedding_model=embedder, scheduler=scheduler, kv_cache_mb=64, embedding_kv_mb=16) as both:
        both.embed(["one", "two", "three"])
        figures = both.metrics()
        names = ["SmolLM2-135M-Instruct.Q4_1", "tiny-bert"]
        assert figures["model"] == names[0] and [model["model"] for model in figures["models"]] == names
        assert [model["totals"]["completed"] for model in figures["models"]] == [0, 3]
        assert figures["totals"] == figures["models"][0]["totals"]
    # A model of embeddings by itself is the first one.
    with Engine(model=embedder, scheduler=scheduler, kv_cache_mb=16) as alone:
        alone.embed("one")
        assert alone.metrics()["models"][0]["totals"]["completed"] == 1


def test_what_cannot_be_a_second_model_is_laid_to_its_setting(tmp_path):
    with pytest.raises(LoadError) as wrong:
        Engine(embedding_model=tmp_path / "none.gguf")
    assert wrong.value.field == "embedding_model"
