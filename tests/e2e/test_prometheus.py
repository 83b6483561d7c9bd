"""A real Prometheus (Debian's) scrapes the server while it works; the dashboard and the alerts that are shipped read what it has."""

import json
import math
import shutil
import subprocess
import time

import pytest

from process import PATIENCE, ROOT
from prometheus import BUSY, SCRAPE, Prometheus, traffic

DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "parkade.json").read_text())


@pytest.fixture
def watch(tmp_path):
    running = []

    def watching(server):
        running.append(Prometheus(server, tmp_path))
        running[0].eventually('up{job="parkade"}', [1.0])
        return running[0]

    yield watching
    for prometheus in running:
        prometheus.close()


def test_prometheus_reads_what_the_server_counts(watch, server, client):
    prometheus = watch(server)
    before = prometheus.values("parkade_generation_tokens_total") or [0.0]
    used = 0
    for _ in range(3):
        answer = client.completions.create(model="default", prompt="Once", max_tokens=20, extra_body={"ignore_eos": True})
        used += answer.usage.completion_tokens
    assert used == 60
    prometheus.eventually("parkade_generation_tokens_total", [before[0] + used])
    for gauge in ("parkade_num_requests_running", "parkade_num_requests_waiting", "parkade_num_requests_parked"):
        prometheus.eventually(f"sum({gauge})", [0.0])
    assert prometheus.values("histogram_quantile(0.5, sum by (le) (parkade_time_to_first_token_seconds_bucket))")


def panels() -> list[dict]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def test_every_panel_of_the_dashboard_has_data_from_a_loaded_server(watch, start):
    server = start(*BUSY)
    prometheus = watch(server)
    begin = time.time()
    traffic(server, seconds=12)
    server.await_idle()
    # The last scrape has seen the end.
    prometheus.eventually("sum(parkade_num_requests_running)", [0.0])
    silent = []
    for panel in panels():
        assert panel["description"] and panel["targets"], panel["title"]
        for target in panel["targets"]:
            query = target["expr"].replace("$__rate_interval", "5s").replace("$job", "parkade").replace("$instance", ".*")
            assert "$" not in query, query
            series = prometheus.ask("query_range", query=query, start=begin, end=time.time(), step=1)
            numbers = [float(value) for one in series for _, value in one["values"]]
            if not any(math.isfinite(number) for number in numbers):
                silent.append((panel["title"], query))
    assert not silent, silent
    # The traffic was what the dashboard is for: nothing of it is all zero.
    assert server.metric("parkade_request_refusals_total") > 0
    assert server.metric("parkade_num_preemptions_total") > 0
    for metric in ("parkade_tenant_requests", "parkade_class_first_token_deadline_ratio_count"):
        assert prometheus.ask("query", query=f"max_over_time({metric}[5m]) > 0"), metric
    rules = prometheus.ask("query", query="ALERTS")
    assert not [alert for alert in rules if alert["metric"]["alertname"] in ("ParkadeDown", "ParkadeEngineStopped")], rules


def test_the_variables_of_the_dashboard_can_be_resolved(watch, server):
    prometheus = watch(server)
    # What label_values(parkade_build_info, ...) asks for.
    (series,) = prometheus.ask("query", query="parkade_build_info")
    assert series["metric"]["job"] == "parkade" and series["metric"]["instance"]
    names = [variable["name"] for variable in DASHBOARD["templating"]["list"]]
    assert names == ["datasource", "job", "instance"]


@pytest.mark.parametrize(
    "command",
    [["check", "config", str(SCRAPE)], ["test", "rules", str(SCRAPE.parent / "alerts_test.yml")]],
    ids=["scrape.yml", "alerts.yml"],
)
def test_promtool_accepts_what_is_shipped(command):
    promtool = shutil.which("promtool")
    assert promtool, "promtool is missing; `make test` as root installs Debian's package prometheus, else install it"
    checked = subprocess.run([promtool, *command], capture_output=True, text=True, timeout=PATIENCE)
    assert checked.returncode == 0, checked.stdout + checked.stderr
