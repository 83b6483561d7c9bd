"""One server for all clients: the default model, and MiniLM for embeddings."""

import os

# Clients look for keys, and some send figures or fetch lists from outside: none of that is part of these tests.
os.environ.update(
    OPENAI_API_KEY="unused",
    ANTHROPIC_API_KEY="unused",
    LANGSMITH_TRACING="false",
    LITELLM_LOCAL_MODEL_COST_MAP="True",
    LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS="True",
    HF_HUB_OFFLINE="1",
    INSPECT_DISPLAY="plain",
)

import pytest
from pydantic import BaseModel

from process import Server, data_directory, default_model


@pytest.fixture(scope="session")
def server():
    default_model()
    embedder = data_directory() / "models" / "all-MiniLM-L6-v2.gguf"
    assert embedder.exists(), f"{embedder} is missing; run `scripts/setup tests`"
    running = Server("--embedding-model", str(embedder))
    yield running
    died, log = running.process.poll(), running.log
    running.close()
    assert died is None, f"the server died with {died}:\n{log}"


@pytest.fixture(autouse=True)
def nothing_is_left_behind(request):
    """No client may leave a block or a request, whatever it does with its answers."""
    yield
    if "server" in request.fixturenames:
        request.getfixturevalue("server").await_idle()


@pytest.fixture(scope="session")
def base_url(server):
    return server.url + "/v1"


@pytest.fixture(scope="session")
def embedding_model(server):
    """The name of the model that embeds."""
    models = server.get("/v1/models").json()["data"]
    return models[1]["id"]
