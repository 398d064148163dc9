"""The Grafana dashboard, the alerts and Prometheus's configuration name metrics, labels and values that there are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from jobs.metrics import METRICS, PROCESS, VLLM, EngineState, Metric, Place, Source, Stage
from jobs.models import State

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "pagemill.json"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
PROMETHEUS = ROOT / "deploy" / "prometheus" / "prometheus.yml"
SERIES = {series: metric for metric in METRICS for series in metric.series}
STRANGE = {*VLLM, *PROCESS, "up"}
TARGET = {"instance", "job"}
"""Labels that Prometheus gives every series."""
VALUES = {
    "pagemill_engine_seconds_total.state": set(EngineState),
    "pagemill_worker_held_pages.place": set(Place),
    "pagemill_page_stage_seconds.stage": set(Stage),
    "pagemill_worker_pages_total.outcome": {"succeeded", "failed"},
    "pagemill_pages.state": {"pending", "running", "succeeded", "failed", "canceled"},
    "pagemill_jobs.state": set(State),
    "pagemill_workers.state": {"alive", "draining", "stopped", "dead"},
    "pagemill_backlog_age_seconds.class": {"interactive", "batch"},
}
JOBS = {"pagemill-api": "api", "pagemill-worker": "worker"}


def panels() -> list[dict[str, Any]]:
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def alerts() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def expressions() -> dict[str, str]:
    """By where they stand; Grafana's variables are times here."""
    found = {f"{p['title']} {t['refId']}": t["expr"] for p in panels() for t in p["targets"]}
    found |= {rule["alert"]: rule["expr"] for rule in alerts()}
    return {name: expr.replace("$__rate_interval", "5m").replace("$__range", "1h") for name, expr in found.items()}


def nodes(node: Any, parents: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Every node with those above it, the nearest last."""
    yield node, parents
    for name in ("expr", "lhs", "rhs", "param"):
        if (child := getattr(node, name, None)) is not None and not isinstance(child, int | float | str):
            yield from nodes(child, (*parents, node))
    for child in getattr(node, "args", None) or ():
        yield from nodes(child, (*parents, node))
    if (selector := getattr(node, "vector_selector", None)) is not None:
        yield from nodes(selector, (*parents, node))


def selectors(expr: str) -> list[tuple[Any, tuple[Any, ...]]]:
    parsed = promql_parser.parse(expr)
    return [(node, up) for node, up in nodes(parsed) if isinstance(node, promql_parser.VectorSelector)]


def metric_of(selector: Any) -> Metric | None:
    return SERIES.get(selector.name)


def labels_of(selector: Any) -> set[str]:
    metric = metric_of(selector)
    own = set(metric.labels) if metric else {"model_name", "engine"}
    return own | TARGET | ({"le"} if selector.name.endswith("_bucket") else set())


EXPRESSIONS = expressions()


@pytest.fixture(params=EXPRESSIONS, ids=lambda name: name.replace(" ", "-"))
def expr(request):
    return EXPRESSIONS[request.param]


def test_metrics_are_there(expr):
    found = selectors(expr)
    assert found
    for selector, _ in found:
        assert selector.name in SERIES or selector.name in STRANGE, selector.name


def test_labels_are_there_and_have_such_values(expr):
    for selector, _ in selectors(expr):
        metric = metric_of(selector)
        for matcher in selector.matchers.matchers:
            assert matcher.name in labels_of(selector), f"{selector.name} has no {matcher.name}"
            known = VALUES.get(f"{metric.name}.{matcher.name}") if metric else None
            if matcher.name != "job" and metric and matcher.name != "status":
                assert known is not None, f"which values may {metric.name}.{matcher.name} have?"
                assert set(matcher.value.split("|")) <= known


def test_what_is_grouped_by_is_a_label(expr):
    for selector, parents in selectors(expr):
        for parent in parents:
            if isinstance(parent, promql_parser.AggregateExpr) and parent.modifier is not None:
                assert set(parent.modifier.labels) <= labels_of(selector), f"{selector.name}: {parent}"


def test_what_every_server_says_the_same_of_is_never_added_up(expr):
    """Two API servers tell the database's numbers twice: the first thing done with them is max or min."""
    for selector, parents in selectors(expr):
        metric = metric_of(selector)
        if metric is None or metric.source is not Source.DATABASE:
            continue
        nearest = [str(parent.op) for parent in parents if isinstance(parent, promql_parser.AggregateExpr)][-1:]
        assert nearest in (["max"], ["min"]), f"{selector.name} in {expr}"


def test_counters_are_rated_and_gauges_are_not(expr):
    for selector, parents in selectors(expr):
        metric = metric_of(selector)
        calls = {str(p.func.name) for p in parents if isinstance(p, promql_parser.Call)}
        rated = bool(calls & {"rate", "increase"})
        if metric is not None:
            assert rated == (metric.kind != "gauge"), selector.name


def test_nothing_goes_by_what_no_scrape_sees(expr):
    """An engine's death is counted, and 0.2 s later the worker has ended: the alert on it could never fire."""
    assert "pagemill_worker_crashes_total" not in expr


def test_every_panel_asks_something_in_words():
    for panel in panels():
        assert panel["title"]
        assert panel["targets"], panel["title"]
        assert all(t["datasource"]["uid"] == "${datasource}" for t in panel["targets"])


def test_panels_do_not_lie_on_each_other():
    taken: dict[tuple[int, int], str] = {}
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for cell in ((x, y) for x in range(place["x"], place["x"] + place["w"])
                     for y in range(place["y"], place["y"] + place["h"])):  # fmt: skip
            assert taken.setdefault(cell, panel["title"]) == panel["title"]


def test_the_dashboard_answers_the_operators_questions():
    rows = [p["title"] for p in json.loads(DASHBOARD.read_text())["panels"] if p["type"] == "row"]
    assert rows[:6] == [
        "Is it working?", "How long until the backlog is done?", "Why is the GPU idle?", "What fails, and why?",
        "What does it cost?", "Is a worker sick?",
    ]  # fmt: skip


def test_every_alert_says_what_is_wrong_and_what_to_do():
    assert len({rule["alert"] for rule in alerts()}) == len(alerts()) > 10
    for rule in alerts():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"].keys() == {"summary", "action"}


def test_prometheus_scrapes_under_the_names_that_are_used():
    config = yaml.safe_load(PROMETHEUS.read_text())
    assert config["rule_files"] == ["/etc/prometheus/alerts.yml"]
    assert {job["job_name"] for job in config["scrape_configs"]} == set(JOBS)
    for job in config["scrape_configs"]:
        assert [places["port"] for places in job["dns_sd_configs"]] == [9464]


def test_grafana_finds_prometheus_and_the_dashboard():
    provisioning = ROOT / "deploy" / "grafana" / "provisioning"
    [source] = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    [provider] = yaml.safe_load((provisioning / "dashboards" / "pagemill.yml").read_text())["providers"]
    assert source["type"] == json.loads(DASHBOARD.read_text())["templating"]["list"][0]["query"]
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"
