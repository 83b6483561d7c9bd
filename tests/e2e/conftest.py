"""One server for most tests; those that change or stop it start their own."""

import openai
import pytest

from databases import cluster, database  # noqa: F401
from process import PATIENCE, Server, default_model


@pytest.fixture(scope="session")
def server():
    default_model()
    running = Server()
    yield running
    died = running.process.poll()
    log = running.log
    running.close()
    assert died is None, f"the server died with {died}:\n{log}"


@pytest.fixture(autouse=True)
def the_shared_server_stays_healthy(request):
    """No test may leave anything behind: a block, a request, or a server that has gone."""
    yield
    if "server" in request.fixturenames:
        running = request.getfixturevalue("server")
        assert running.process.poll() is None, running.log
        running.await_idle()


@pytest.fixture
def client(server):
    with openai.OpenAI(base_url=server.url + "/v1", api_key="unused", max_retries=0, timeout=PATIENCE) as client:
        yield client


@pytest.fixture
async def async_client(server):
    async with openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="unused", max_retries=0, timeout=PATIENCE) as client:
        yield client


@pytest.fixture
def start():
    """Starts further servers, and ends them with the test."""
    running = []

    def starting(*arguments, **keywords):
        running.append(Server(*arguments, **keywords))
        return running[-1]

    yield starting
    for server in running:
        server.close()
