"""The official clients for JavaScript: each program of `node/` is run by node, and says itself what is wrong."""

import os
import pathlib
import subprocess

import pytest

NODE = pathlib.Path(__file__).with_name("node")
PROGRAMS = sorted(path.name for path in NODE.glob("*.test.js"))


@pytest.mark.parametrize("program", PROGRAMS)
def test_program(server, embedding_model, program):
    assert (NODE / "node_modules").is_dir(), "its packages are missing; run `make test-clients`"
    told = {"PARKADE_URL": server.url, "PARKADE_EMBEDDING_MODEL": embedding_model}
    run = subprocess.run(
        ["node", "--test", program], cwd=NODE, env={**os.environ, **told}, capture_output=True, text=True, timeout=800
    )
    assert run.returncode == 0, run.stdout + run.stderr
