#!/usr/bin/env python3
"""Draws deploy/grafana/parkade.png from real data: a loaded server, a real Prometheus, the dashboard's own queries.

`make picture` runs it with what it needs. The server is the release binary.
"""

import argparse
import json
import pathlib
import sys
import tempfile
import time

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as pyplot

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from process import Server  # noqa: E402
from prometheus import BUSY, Prometheus, traffic  # noqa: E402

PANELS = [
    "Waiting by class",
    "Running by class",
    "Parked by class",
    "Admissions and refusals a second",
    "KV blocks",
    "Requests by tenant",
    "First token by class",
    "First token against its deadline",
    "Tokens a second",
    "Between tokens by class",
    "Where the steps' time goes",
    "Locks: waiting and holding",
]
COLUMNS = 3


def label(target: dict, metric: dict) -> str:
    text = target["legendFormat"]
    for name, value in metric.items():
        text = text.replace("{{" + name + "}}", value)
    return text


def draw(axes, panel: dict, prometheus: Prometheus, begin: float, end: float) -> None:
    curves = []
    for target in panel["targets"]:
        query = target["expr"].replace("$__rate_interval", "5s").replace("$job", "parkade").replace("$instance", ".*")
        for series in prometheus.ask("query_range", query=query, start=begin, end=end, step=1):
            points = [(float(at) - begin, float(value)) for at, value in series["values"]]
            curves.append((label(target, series["metric"]), points))
    stacked = panel["fieldConfig"]["defaults"]["custom"].get("stacking")
    # Series of a stack have a value at every moment.
    if stacked and len({len(points) for _, points in curves}) == 1:
        at = [moment for moment, _ in curves[0][1]]
        axes.stackplot(at, [[value for _, value in points] for _, points in curves], labels=[name for name, _ in curves], alpha=0.8)
    else:
        for name, points in curves:
            axes.plot([at for at, _ in points], [value for _, value in points], label=name, linewidth=1.2)
    for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"][1:]:
        axes.axhline(step["value"], color="tab:red", linestyle="--", linewidth=1)
    unit = {"s": " (s)", "percentunit": " (1 is all)"}.get(panel["fieldConfig"]["defaults"]["unit"], "")
    axes.set_title(panel["title"] + unit, fontsize=10, loc="left")
    axes.set_ylim(bottom=0)
    axes.set_xlim(0, end - begin)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.2)
    if curves:
        axes.legend(fontsize=6, ncols=3, loc="upper left", framealpha=0.6)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=90, help="how long the traffic lasts")
    options.add_argument("--output", type=pathlib.Path, default=ROOT / "deploy" / "grafana" / "parkade.png")
    options = options.parse_args()
    dashboard = json.loads((ROOT / "deploy" / "grafana" / "parkade.json").read_text())
    panels = {panel["title"]: panel for panel in dashboard["panels"]}
    server = Server(*BUSY)
    with tempfile.TemporaryDirectory() as directory:
        prometheus = Prometheus(server, pathlib.Path(directory))
        try:
            prometheus.eventually('up{job="parkade"}', [1.0])
            begin = time.time()
            traffic(server, options.seconds)
            end = time.time()
            time.sleep(2)
            pyplot.style.use("dark_background")
            rows = -(-len(PANELS) // COLUMNS)
            figure, grid = pyplot.subplots(rows, COLUMNS, figsize=(16, 3 * rows), layout="constrained")
            for axes, title in zip(grid.flat, PANELS):
                draw(axes, panels[title], prometheus, begin, end)
            figure.savefig(options.output, dpi=80)
        finally:
            prometheus.close()
            server.close()
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
