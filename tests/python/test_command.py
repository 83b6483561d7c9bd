"""The command that is installed with the module. `make test` also runs the binary's own tests of its life with it."""

import pathlib
import re
import subprocess
import sys

import pytest

from conftest import PATIENCE

COMMANDS = [[str(pathlib.Path(sys.executable).parent / "parkade")], [sys.executable, "-m", "parkade"]]


def run(command, *arguments):
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("command", COMMANDS, ids=["parkade", "python -m parkade"])
def test_it_is_the_whole_command_line(command):
    assert re.fullmatch(r"parkade \d+\.\d+\.\d+\n", run(command, "--version").stdout)
    assert "Usage: parkade" in run(command, "--help").stdout
    answer = run(command, "run", "--temperature", "0", "--max-tokens", "16", "-i", "What is 2+2?")
    assert answer.returncode == 0 and "4" in answer.stdout, answer.stderr
    assert run(command, "pull", "--list").returncode == 0


@pytest.mark.parametrize("command", COMMANDS, ids=["parkade", "python -m parkade"])
def test_wrong_usage_has_its_exit_code(command):
    wrong = run(command, "serve", "--scheduler", "fair")
    assert wrong.returncode == 2 and "parking-lot" in wrong.stderr
    assert run(command, "run", "--model", "/nowhere.gguf", "-i", "x").returncode == 1


def test_the_types_hold():
    done = subprocess.run([sys.executable, "-m", "mypy", "--cache-dir", "/dev/null", "--strict", "-p", "parkade"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
