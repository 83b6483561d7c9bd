"""The description against the server and the default model: nothing that it allows or forbids breaks the server, and all answers keep to it."""

import os
import pathlib
import subprocess
import sys

import httpx
import pytest
import schemathesis

from process import PATIENCE, Server, default_model

HERE = pathlib.Path(__file__).parent
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
# Enough for each operation, on a busy machine too; how far it comes in it changes what is asked, and not what must hold.
SECONDS = 60
QUESTION = "What is the weather in Rome?"
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 12}}, "required": ["city"]}


@pytest.fixture(scope="module")
def server():
    default_model()
    running = Server("--ctx-size", "512")
    yield running
    died, log = running.process.poll(), running.log
    running.close()
    assert died is None, f"the server died with {died}:\n{log}"


def test_schemathesis_finds_no_500_and_no_answer_off_its_schema(server, tmp_path):
    command = [
        str(pathlib.Path(sys.executable).with_name("schemathesis")),
        f"--config-file={HERE / 'schemathesis.toml'}",
        "run",
        f"{server.url}/openapi.json",
        f"--checks={CHECKS}",
        f"--max-time={SECONDS}",
        "--phases=examples,coverage,fuzzing",
        "--seed=12",
        # One thread: CPython 3.11 counts the depth of its parser for all threads together, and fails when two parse at once.
        "--workers=1",
        "--max-examples=20",
        "--generation-database=none",
        "--request-timeout=120",
        "--continue-on-failure",
        "--no-shrink",
        "--no-color",
    ]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(HERE)}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE * 2, cwd=tmp_path)
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-2_000:]
    server.await_idle()


FUNCTION = {"name": "weather", "parameters": PARAMETERS}
CALLS = {
    "/v1/chat/completions": {
        "messages": [{"role": "user", "content": QUESTION}],
        "tools": [{"type": "function", "function": FUNCTION}],
        "tool_choice": "required",
    },
    "/v1/responses": {"input": QUESTION, "tools": [{"type": "function", **FUNCTION}], "tool_choice": "required"},
    "/v1/messages": {
        "messages": [{"role": "user", "content": QUESTION}],
        "tools": [{"name": "weather", "input_schema": PARAMETERS}],
        "tool_choice": {"type": "any"},
        "max_tokens": 100,
    },
}


@pytest.mark.parametrize("path", CALLS)
def test_calls_keep_to_the_description(server, path):
    description = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    answer = httpx.post(server.url + path, json=CALLS[path] | {"temperature": 0}, timeout=PATIENCE)
    assert answer.status_code == 200 and "weather" in answer.text, answer.text
    description[path]["POST"].validate_response(answer)
