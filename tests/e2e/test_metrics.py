"""GET /metrics is what Prometheus reads."""

import shutil
import subprocess

from process import PATIENCE


def test_promtool_finds_nothing_wrong_with_the_metrics(server, client):
    client.completions.create(model="default", prompt="Hello", max_tokens=4)
    promtool = shutil.which("promtool")
    assert promtool, "promtool is missing; `make test` as root installs Debian's package prometheus, else install it"
    page = server.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    # Its rules want no colons in names; those that inference gateways read are vLLM's, and have one.
    own = "".join(line for line in page.text.splitlines(keepends=True) if "vllm:" not in line)
    checked = subprocess.run([promtool, "check", "metrics"], input=own.encode(), capture_output=True, timeout=PATIENCE)
    assert checked.returncode == 0, (checked.stdout + checked.stderr).decode()


def test_counters_count_what_was_done(server, client):
    names = ("parkade_prompt_tokens_total", "parkade_generation_tokens_total")
    before = [server.metric(name) for name in names]
    usage = client.completions.create(model="default", prompt="1, 2, 3,", max_tokens=7, temperature=0).usage
    after = [server.metric(name) for name in names]
    assert [b - a for a, b in zip(before, after)] == [usage.prompt_tokens, usage.completion_tokens]


def test_the_block_gauges_are_within_the_budget(server):
    total = server.metric("parkade_kv_blocks")
    assert total > 0
    assert 0 <= server.metric("parkade_kv_blocks_used") <= total
    assert 0 <= server.metric("parkade_kv_blocks_cached") <= total
