"""An engine under each scheduler for most tests; those that fill or stop it make their own."""

import pathlib
import sys
import time

import pytest

from parkade import Engine

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from process import PATIENCE, Server, default_model, environment  # noqa: E402

SCHEDULERS = ("parking-lot", "default")


@pytest.fixture(scope="session", autouse=True)
def the_home(tmp_path_factory):
    """Settings of the person who runs the tests do not count, and the default model is where the set-up put it."""
    default_model()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment().items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session", params=SCHEDULERS)
def engine(request):
    with Engine(scheduler=request.param, kv_cache_mb=64) as engine:
        yield engine


@pytest.fixture(autouse=True)
def the_shared_engine_stays_idle(request):
    """No test may leave a request or a block behind."""
    yield
    if "engine" in request.fixturenames:
        await_idle(request.getfixturevalue("engine"))


def await_idle(engine: Engine) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        figures = engine.metrics()
        if not any((*figures["requests"].values(), figures["kv_blocks"]["used"])):
            return
        assert time.monotonic() < deadline, f"still held: {figures}"
        time.sleep(0.01)


@pytest.fixture(scope="session")
def server():
    running = Server()
    yield running
    running.close()
