"""What Prometheus may ask."""

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

__all__ = ["CONTENT_TYPE", "FOLDER", "Metrics"]

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # where the processes of one server keep their figures, if they are several
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class Metrics:
    """The counters of one server, in a registry of its own; any of its processes tells the figures of all."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the moments counters began are noise
        self.registry = self._all = CollectorRegistry()
        if folder := os.environ.get(FOLDER):
            self._all = CollectorRegistry()
            MultiProcessCollector(self._all, folder)  # type: ignore[no-untyped-call]
        self.requests = Counter(
            "drn_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self.latency = Histogram(
            "drn_stage_seconds",
            "Seconds of a stage: store and inference of a batch, total of a request.",
            ["stage"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.store = self.latency.labels("store")
        self.inference = self.latency.labels("inference")
        self.total = self.latency.labels("total")
        self.batch = Histogram(
            "drn_batch_size",
            "Requests answered in a batch.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=self.registry,
        )
        self.events = Counter("drn_events", "Events accepted.", ["kind"], registry=self.registry)
        self.unknown = Counter(
            "drn_unknown_ids", "Events that name a page or item unknown to the model.", ["kind"], registry=self.registry
        )
        self.store_failures = Counter("drn_store_failures", "Calls the store failed.", registry=self.registry)
        self.chore_failures = Counter(
            "drn_chore_failures",
            "Looks for new versions and idle sessions that failed.",
            ["chore"],
            registry=self.registry,
        )
        self.version = Gauge(
            "drn_model_version",
            "Version served.",
            ["model", "arm"],
            registry=self.registry,
            multiprocess_mode="mostrecent",
        )
        self.reloads = Counter("drn_model_loads", "Model versions tried.", ["model", "result"], registry=self.registry)
        self.shown = Counter(
            "drn_outcomes",
            "Events that follow a recommendation, by whether it named their label.",
            ["version", "kind", "hit"],
            registry=self.registry,
        )
        self.expired = Counter("drn_sessions_expired", "Idle sessions forgotten.", registry=self.registry)

        self._children: dict[tuple[Counter, tuple[object, ...]], Counter] = {}

    def count(self, counter: Counter, *labels: object) -> None:
        """Count in a counter's child of these labels: to look one up by prometheus_client costs more than to count."""
        key = counter, labels
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = counter.labels(*map(str, labels))
        child.inc()

    def outcomes(self, version: int) -> dict[str, dict[str, int]]:
        """Return by kind how many events followed a recommendation of ``version``, and how many of them it held."""

        def counted(kind: str, hit: str) -> int:
            labels = {"version": str(version), "kind": kind, "hit": hit}
            return int(self._all.get_sample_value("drn_outcomes_total", labels) or 0)

        figures = {kind: (counted(kind, "true"), counted(kind, "false")) for kind in ("view", "buy")}
        return {kind: {"held": held, "of": held + missed} for kind, (held, missed) in figures.items()}

    def text(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        return generate_latest(self._all)
