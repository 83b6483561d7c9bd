"""Hot paths take about as many instructions as when they were last recorded: no clock, so a busy machine makes no difference.

`PARKADE_RECORD=1 pytest tests/e2e/test_instructions.py` records the counts anew; say in the commit what changed them.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from process import PATIENCE, binary, environment

RECORDED = pathlib.Path(__file__).with_name("instructions.json")
PATHS = ["lot", "sampler", "gemm-1-row", "gemm-16-rows"]
# Hash maps and the standard library vary a little; another compiler makes other code.
TOLERANCE, OTHER_COMPILER = 0.04, 0.25


def compiler() -> str:
    return subprocess.run(["rustc", "--version"], check=True, capture_output=True, text=True).stdout.split()[1]


def counted(path: str) -> int:
    valgrind = shutil.which("valgrind")
    assert valgrind, "valgrind is missing; `make test` as root installs Debian's package valgrind, else install it"
    program = binary().parent / "examples" / "instructions"
    assert program.exists(), f"{program} is missing; run `cargo test --workspace` (or `make test`) first"
    options = ["--tool=callgrind", "--toggle-collect=*counted*", "--callgrind-out-file=/dev/null"]
    # AVX2 is what valgrind knows, whatever the processor has.
    env = environment(PARKADE_CPU="avx2")
    done = subprocess.run([valgrind, *options, program, path], env=env, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    collected = re.search(r"Collected : (\d+)", done.stderr)
    assert collected, done.stderr
    return int(collected.group(1))


@pytest.mark.parametrize("path", PATHS)
def test_a_hot_path_takes_as_many_instructions_as_recorded(path):
    recorded = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    count = counted(path)
    if os.environ.get("PARKADE_RECORD"):
        if recorded.get("rustc") != compiler():
            recorded = {"rustc": compiler()}
        recorded[path] = count
        RECORDED.write_text(json.dumps(recorded, indent=2) + "\n")
        return
    tolerance = TOLERANCE if recorded["rustc"] == compiler() else OTHER_COMPILER
    change = count / recorded[path] - 1
    assert abs(change) <= tolerance, (
        f"{path} takes {count} instructions, {change:+.1%} of the {recorded[path]} recorded with rustc {recorded['rustc']}. "
        f"If that is meant, record it: PARKADE_RECORD=1 .venv/bin/python -m pytest {__file__}"
    )
