"""The table of metrics: names that Prometheus likes, and each process serves what it says and nothing else."""

from __future__ import annotations

import re
import threading

import pytest
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

import api.census
from api.census import CensusTaker
from api.monitor import Monitor as ApiMonitor
from jobs.errors import DatabaseUnavailable
from jobs.metrics import METRICS, EngineState, Place, Source, Stage
from jobs.queue import Doorbell, make_app
from jobs.settings import BrokerSettings, DatabaseSettings, EngineSettings, MetricsSettings
from jobs.spending import Price
from jobs.store.database import open_database
from tests.processes import wait_until
from workers.engines.echo import EchoEngine
from workers.meter import Meter
from workers.monitor import Monitor as WorkerMonitor
from workers.presence import Life

UNITS = ("seconds", "bytes", "pages", "tokens")


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_is_named_as_prometheus_asks(metric):
    assert re.fullmatch(r"pagemill_[a-z]+(_[a-z]+)*", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert metric.help.endswith(".")
    assert all(re.fullmatch(r"[a-z]+", label) for label in metric.labels)
    assert not {"job", "document", "page", "instance"} & set(metric.labels), "ids make a series each"
    assert metric.unit not in UNITS or metric.unit in metric.name
    assert bool(metric.buckets) == (metric.kind == "histogram")
    assert metric.served_by == ("api",) or metric.source is Source.PROCESS


def test_no_name_twice():
    assert len({metric.name for metric in METRICS}) == len(METRICS) > 40


def families(registry: CollectorRegistry) -> dict[str, tuple[str, str]]:
    """Type and help by name, a counter's with its ending."""
    return {
        family.name + ("_total" if family.type == "counter" else ""): (family.type, family.documentation)
        for family in registry.collect()
    }


def table(process: str) -> dict[str, tuple[str, str]]:
    return {metric.name: (metric.kind, metric.help) for metric in METRICS if process in metric.served_by}


def test_a_worker_serves_what_the_table_says():
    meter = Meter()
    settings = EngineSettings(name="paddleocr_vl", vl_backend="vllm")
    monitor = WorkerMonitor(MetricsSettings(), meter, 30.0)
    monitor.has_engine(EchoEngine(EngineSettings(name="echo")), settings)
    meter.who = lambda: dict.fromkeys(("worker", "host", "slot", "engine", "model"), "x")
    assert families(meter.registry) == table("worker")
    assert "pagemill_engine_seconds_total" not in families(Meter(reads=False).registry)


def test_an_api_server_serves_what_the_table_says(tmp_path):
    database = open_database(DatabaseSettings(database_url=f"sqlite:///{tmp_path / 'x.db'}"))
    database.migrate()
    celery = make_app(BrokerSettings(broker_url="redis://127.0.0.1:1/0"), patience=0.2)
    monitor = ApiMonitor()
    monitor.registry.register(CensusTaker(database, Doorbell(celery), ["echo"], Price(1.0, "EUR")))
    found = families(monitor.registry)
    celery.close()
    database.dispose()
    assert found == {name: what for name, what in table("api").items() if name != "pagemill_queue_messages"}


def test_a_database_that_is_away_is_told_and_nothing_else_of_it(tmp_path):
    database = open_database(DatabaseSettings(database_url=f"sqlite:///{tmp_path / 'x.db'}"))  # no tables
    celery = make_app(BrokerSettings(broker_url="redis://127.0.0.1:1/0"), patience=0.2)
    found = {
        sample.name: sample.value
        for family in CensusTaker(database, Doorbell(celery), ["echo"], None).collect()
        for sample in family.samples
    }
    celery.close()
    database.dispose()
    assert found == {"pagemill_database_up": 0, "pagemill_broker_up": 0}


class Hung:
    """A database, or a broker, that takes the question and says nothing until it is told to."""

    def __init__(self):
        self.asked, self.thawed = 0, threading.Event()

    def read(self):
        self.asked += 1
        self.thawed.wait(30)
        raise DatabaseUnavailable("it was away")

    def lengths(self, _queues):
        return {}


def test_a_database_that_hangs_holds_up_no_scrape_and_is_told(monkeypatch):
    """Sixteen scrapes of a frozen PostgreSQL took all connections of the listener: /healthz was refused, for which a
    server is killed. And no number said that the database was away."""
    monkeypatch.setattr(api.census, "PATIENCE", 0.05)
    hung, clock = Hung(), Clock()
    taker = CensusTaker(hung, hung, [], None, clock)
    registry = CollectorRegistry()
    registry.register(taker)
    try:
        for _ in range(20):
            assert registry.get_sample_value("pagemill_database_up") == 0
        assert registry.get_sample_value("pagemill_broker_up") == 1
        assert hung.asked == 1, "one look at a time"
        clock.now += 300
        hung.thawed.set()
        wait_until(taker._looks[0]._found.done, "the look to end", 10)
        registry.get_sample_value("pagemill_database_up")
        assert hung.asked == 1
        clock.now += 6
        registry.get_sample_value("pagemill_database_up")
        wait_until(lambda: hung.asked == 2, "a look soon after, however long the one before hung", 10)
    finally:
        hung.thawed.set()


def test_values_of_labels_are_told_in_the_table():
    text = "\n".join(metric.help for metric in METRICS)
    for value in (*EngineState, *Place):
        assert value in text
    assert {stage.value for stage in Stage} == {"fetch", "render", "layout", "recognise", "store", "record"}


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def worker_monitor():
    clock = Clock()
    return WorkerMonitor(MetricsSettings(), Meter(), 30.0, clock), clock


def test_a_worker_that_starts_is_healthy_and_not_ready():
    monitor, clock = worker_monitor()
    clock.now += 3600
    assert (monitor.unhealthy(), monitor.unready()) == (None, "starting")


def test_a_worker_whose_heartbeat_comes_to_no_end_is_ill():
    monitor, clock = worker_monitor()
    monitor.beat()
    monitor.live(Life.SERVING)
    clock.now += 29
    assert (monitor.unhealthy(), monitor.unready()) == (None, None)
    clock.now += 2
    assert monitor.unhealthy() == "the last heartbeat ended 31 s ago, 30 s are allowed"
    monitor.beat()
    assert monitor.unhealthy() is None


def test_a_worker_whose_engine_died_says_why_it_takes_no_work():
    monitor, _ = worker_monitor()
    monitor.live(Life.SERVING)
    monitor.live(Life.BROKEN, "vLLM's EngineCore died")
    assert monitor.unready() == "broken: vLLM's EngineCore died"


@pytest.mark.parametrize("price", ["inf", "nan", "-1", "1e400"])
def test_a_price_that_is_no_number_is_refused(price):
    """JSON has no word for an infinite cost."""
    with pytest.raises(ValidationError):
        MetricsSettings(price_per_gpu_hour=price)
