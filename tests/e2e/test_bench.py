"""`parkade bench`: what it measures is there, whatever it is on this machine."""

import json
import stat

import pytest

from process import default_model, parkade

BENCHMARKS = ["quick", "model", "engine", "pool", "locks", "serve", "overload"]


def measured(*arguments: str) -> dict:
    done = parkade("bench", "--format", "json", *arguments)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def figures(report: dict) -> dict[str, float]:
    return {figure["name"]: figure["value"] for figure in report["figures"]}


def test_without_a_name_the_benchmarks_say_what_they_answer():
    done = parkade("bench")
    assert done.returncode == 0, done.stderr.decode()
    lines = done.stdout.decode().splitlines()
    for name in BENCHMARKS:
        (line,) = [line for line in lines if line.startswith(f"parkade bench {name} ")]
        assert len(line) > 40, line


def test_quick_has_its_five_figures_and_their_shares():
    report = measured("quick", "--seed", "1")
    found = figures(report)
    for name in ["prefill", "one_stream", "streams_16", "first_token", "decisions"]:
        assert found[name] > 0, report
    for name in ["prefill", "one_stream", "streams_16", "first_token"]:
        assert found[f"{name}_of_limit"] > 0, report
    assert found["decisions_of_limit"] is None
    assert [len(row) for row in report["tables"][0]["rows"]] == [5] * 5


def test_a_peer_runs_in_turns_on_the_same_file_threads_and_depth(tmp_path):
    calls = tmp_path / "calls"
    peer = tmp_path / "llama-bench"
    peer.write_text(f"#!/bin/sh\necho \"$@\" >> {calls}\necho '[{{\"avg_ts\": 50.0}}]'\n")
    peer.chmod(peer.stat().st_mode | stat.S_IXUSR)
    arguments = ["--threads", "1", "--prompt-tokens", "32", "--prompts", "1,2", "--streams", "1,2", "--depths", "16"]
    report = measured("model", *arguments, "--decode-tokens", "4", "--repeats", "2", "--peer", f"llama-bench={peer}")
    prefill = f"-m {default_model()} -o json -t 1 -p 32 -n 0 -r 1 -d 16"
    decode = f"-m {default_model()} -o json -t 1 -p 0 -n 4 -r 1 -d 16"
    assert calls.read_text().splitlines() == [prefill, prefill, decode, decode]
    found = figures(report)
    assert (found["prefill_32_peer"], found["decode_1_peer"]) == (50.0, 50.0)
    assert "decode_2_peer" not in found and found["decode_2"] > 0


def test_a_kernel_level_can_be_chosen():
    report = measured("model", "--kernel-level", "scalar", "--prompt-tokens", "4", "--streams", "1", "--depths", "0", "--decode-tokens", "1", "--repeats", "1")
    assert report["machine"]["kernel_level"] == "scalar"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["model", "--kernel-level", "mmx"], "--kernel-level is 'mmx'"),
        (["model", "--depths", "9999999"], "--depths is 9999999"),
        (["model", "--peer", "vllm=/x"], "llama-bench=PATH"),
        (["engine", "--prompt-batchsize", "0"], "--prompt-batchsize is 0"),
        (["quick", "--threads", "0"], "--threads is 0"),
    ],
)
def test_what_makes_no_sense_is_named(arguments, said):
    done = parkade("bench", *arguments)
    assert done.returncode != 0 and said in done.stderr.decode(), done.stderr.decode()


def test_batches_of_prompts_are_measured_with_both_schedulers():
    arguments = ["--prompt-batchsize", "2,3", "--scheduler", "default,parking-lot", "--rounds", "1", "--prompt-tokens", "16"]
    found = figures(measured("engine", *arguments, "--output-tokens", "4"))
    for scheduler in ["default", "parking_lot"]:
        for size in [2, 3]:
            assert found[f"{scheduler}_batch_{size}_prefill"] > 0 and found[f"{scheduler}_batch_{size}_decode"] > 0
