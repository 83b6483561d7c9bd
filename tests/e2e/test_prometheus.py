"""A real Prometheus (Debian's) scrapes the server while it works."""

import shutil
import subprocess
import time

import httpx
import pytest

from parkade import PATIENCE, free_port

SCRAPES = """
global: {{ scrape_interval: 1s, scrape_timeout: 1s }}
scrape_configs:
  - job_name: parkade
    static_configs: [{{ targets: ["{target}"] }}]
"""


@pytest.fixture
def prometheus(server, tmp_path):
    program = shutil.which("prometheus")
    assert program, "prometheus is missing; `make test` as root installs Debian's package prometheus, else install it"
    config = tmp_path / "prometheus.yml"
    config.write_text(SCRAPES.format(target=server.url.removeprefix("http://")))
    port = free_port()
    process = subprocess.Popen(
        [
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ]
    )
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(timeout=PATIENCE)


def asked(prometheus, query):
    """The values of a query, none while Prometheus is not there yet."""
    try:
        answer = httpx.get(f"{prometheus}/api/v1/query", params={"query": query}, timeout=PATIENCE).json()
    except httpx.TransportError:
        return []
    return [float(sample["value"][1]) for sample in answer.get("data", {}).get("result", [])]


def eventually(check, what):
    until = time.monotonic() + PATIENCE
    while not check():
        assert time.monotonic() < until, what
        time.sleep(0.1)


def test_prometheus_reads_what_the_server_counts(prometheus, server, client):
    eventually(lambda: asked(prometheus, 'up{job="parkade"}') == [1.0], "Prometheus never reached the server")
    before = asked(prometheus, "parkade_generation_tokens_total") or [0.0]
    used = 0
    for _ in range(3):
        answer = client.completions.create(model="default", prompt="Once", max_tokens=20, extra_body={"ignore_eos": True})
        used += answer.usage.completion_tokens
    assert used == 60
    grown = lambda: (asked(prometheus, "parkade_generation_tokens_total") or [0.0])[0] - before[0]
    eventually(lambda: grown() >= used, "the tokens never arrived")
    for gauge in ("parkade_num_requests_running", "parkade_num_requests_waiting", "parkade_num_requests_parked"):
        eventually(lambda: asked(prometheus, f"sum({gauge})") == [0.0], f"{gauge} does not come back to zero")
    assert asked(prometheus, "histogram_quantile(0.5, sum by (le) (parkade_time_to_first_token_seconds_bucket))")
