"""The command `llm`, with the server as it is named in `extra-openai-models.yaml`."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

LLM = pathlib.Path(sys.executable).with_name("llm")


@pytest.fixture
def llm(tmp_path, base_url):
    (tmp_path / "extra-openai-models.yaml").write_text(
        f"""
- model_id: parkade
  model_name: default
  api_base: "{base_url}"
  supports_tools: true
  supports_schema: true
- model_id: parkade-text
  model_name: default
  api_base: "{base_url}"
  completion: true
"""
    )

    def running(*arguments, stdin=None):
        run = subprocess.run(
            [LLM, *arguments], capture_output=True, text=True, input=stdin or "", timeout=240,
            env={**os.environ, "LLM_USER_PATH": str(tmp_path)},
        )
        assert run.returncode == 0, run.stderr
        return run.stdout.strip()

    return running


def test_a_prompt(llm):
    assert llm("-m", "parkade", "Ten fun names for a pet pelican", "-o", "max_tokens", "20")
    assert llm("-m", "parkade", "--no-stream", "-s", "Be brief.", "Hello", "-o", "max_tokens", "20")


def test_standard_input_and_a_conversation_that_goes_on(llm):
    assert llm("-m", "parkade", "-s", "Summarise", "-o", "max_tokens", "10", stdin="A long text.")
    assert llm("-c", "And again", "-o", "max_tokens", "10")


def test_a_schema(llm):
    dog = json.loads(llm("-m", "parkade", "--schema", "is_large bool, age int", "Invent a dog", "-o", "max_tokens", "100"))
    assert isinstance(dog["is_large"], bool) and isinstance(dog["age"], int)


@pytest.mark.parametrize("stream", [[], ["--no-stream"]])
def test_tools(llm, stream):
    assert llm("-m", "parkade", "-T", "llm_version", "What version?", "-o", "max_tokens", "60", "--chain-limit", "2", *stream)


def test_text_completions(llm):
    assert llm("-m", "parkade-text", "Once upon a time", "-o", "max_tokens", "10")
