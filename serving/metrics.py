"""What the service counts, for Prometheus; summed over workers when there are several."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector

__all__ = ["Metrics", "ScoringMetrics", "ShadowMetrics"]

_LATENCY_S = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_AGES_S = (0.1, 1, 5, 15, 30, 60, 120, 300, 900, 3600)
_DIFFERENCES = (0.0001, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
_PLACES = (0.1, 0.3, 1, 3, 10, 30, 100, 300)
_SHARES = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
_STAGES = ("json_in", "read", "history", "transform", "model", "json_out")
_ROWS = (1, 10, 50, 100, 200, 500, 1000)


class ScoringMetrics:
    """What scoring a bundle counts.

    Args:
        registry: which holds the metrics.
        name: which their names begin with.
    """

    def __init__(self, registry: CollectorRegistry, *, name: str = "llactr") -> None:
        self.scored = Counter(f"{name}_scored_rows", "Rows scored", registry=registry)
        self.stage_cpu = Counter(
            f"{name}_stage_cpu_seconds", "CPU spent by stage of a request", ["stage"], registry=registry
        )
        self.cold = Counter(
            f"{name}_cold_starts",
            "Users and items that the store does not know (store) or training did not see (vocabulary)",
            ["owner", "reason"],
            registry=registry,
        )
        self.unseen = Counter(
            f"{name}_unseen_values",
            "Values of text fields that training did not see: scored by their text's vector (placed) or not (cold)",
            ["field", "outcome"],
            registry=registry,
        )
        self.damaged = Counter(
            f"{name}_damaged_vectors",
            "Value vectors that the store returned damaged; their values were scored as cold",
            ["field"],
            registry=registry,
        )
        self.lost = Counter(
            f"{name}_lost_rows",
            "Rows that were materialized and are gone from the store; requests for them are refused",
            ["owner"],
            registry=registry,
        )
        self.cache_hits = Counter(f"{name}_item_cache_hits", "Items found in the cache", registry=registry)
        self.cache_misses = Counter(f"{name}_item_cache_misses", "Items read from the store", registry=registry)
        self.cache_age = Histogram(
            f"{name}_item_cache_age_seconds",
            "Age of the oldest cached item that a request used: how stale its features can be",
            buckets=_AGES_S,
            registry=registry,
        )
        self.cache_items = Gauge(
            f"{name}_item_cache_items", "Items in the cache", registry=registry, multiprocess_mode="livesum"
        )
        self.history_states = Counter(
            f"{name}_history_states",
            "States of users' and items' history that requests used: read from the store, or cached",
            ["source"],
            registry=registry,
        )
        self.history_age = Histogram(
            f"{name}_history_age_seconds",
            "Age of the oldest state of history that a request used: how stale its history can be",
            buckets=_AGES_S,
            registry=registry,
        )
        self.batch_requests = Histogram(
            f"{name}_batch_requests",
            "Requests scored in one pass of the model",
            buckets=(1, 2, 4, 8, 16, 32),
            registry=registry,
        )
        self._stages = {stage: self.stage_cpu.labels(stage) for stage in _STAGES}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds the thread's CPU time of a block without await to a stage."""
        began = time.thread_time()
        try:
            yield
        finally:
            self._stages[name].inc(time.thread_time() - began)

    def spent(self, name: str, seconds: float) -> None:
        """Adds CPU time to a stage."""
        self._stages[name].inc(seconds)


class Metrics(ScoringMetrics):
    """All counters of one process, in a registry of their own.

    Args:
        shared: the folder in which all workers keep their values; None for a single process. (The environment does not
            tell: importing Feast switches prometheus_client over to files, for any process.)
    """

    def __init__(self, shared: Path | None = None) -> None:
        self._shared = shared
        if shared is None:
            values.ValueClass = values.MutexValue
        self.registry = registry = CollectorRegistry()
        super().__init__(registry)
        self.requests = Counter("llactr_requests", "Answered requests", ["path", "status"], registry=registry)
        self.latency = Histogram(
            "llactr_request_seconds", "Time to answer", ["path"], buckets=_LATENCY_S, registry=registry
        )
        self.rows = Histogram("llactr_request_rows", "Rows of a scored request", buckets=_ROWS, registry=registry)
        self.events = Counter(
            "llactr_events",
            "Pushed events: counted, or repeated and left out",
            ["outcome"],
            registry=registry,
        )
        self.event_failures = Counter(
            "llactr_event_failures",
            "Groups of events that could not be logged (log), or were logged and not yet applied (store)",
            ["reason"],
            registry=registry,
        )
        self.event_groups = Histogram(
            "llactr_event_group_events",
            "Events that shared one flush to the disk",
            buckets=(1, 2, 5, 10, 50, 100, 500, 2000),
            registry=registry,
        )
        self.caught_up = Counter(
            "llactr_events_caught_up", "Events that others had logged and this process applied", registry=registry
        )
        self.shed = Counter("llactr_shed_requests", "Requests refused with 429 because of the load", registry=registry)
        self.store_failures = Counter(
            "llactr_store_failures", "Reads that the online store did not answer", registry=registry
        )
        self.ready = Gauge(
            "llactr_ready", "1 when requests can be scored", registry=registry, multiprocess_mode="livemin"
        )
        self.in_flight = Gauge(
            "llactr_requests_in_flight", "Requests under way", registry=registry, multiprocess_mode="livesum"
        )
        self.reloads = Counter("llactr_bundle_reloads", "Bundle reloads", ["outcome"], registry=registry)
        self.bundle = Gauge(
            "llactr_bundle_info",
            "The bundle in use",
            ["bundle", "semantics_version"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.drift = Gauge(
            "llactr_drift_distance",
            "Distance of the newest window from the bundle's profile: PSI, or the difference of shares",
            ["what", "of"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.drift_alarm = Gauge(
            "llactr_drift_alarm",
            "1 where the newest window is further from the bundle's profile than the limit",
            ["what", "of"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.drift_windows = Counter(
            "llactr_drift_windows", "Windows compared with the bundle's profile", registry=registry
        )
        self.log_rows = Counter("llactr_served_log_rows", "Rows taken into the served-feature log", registry=registry)
        self.log_dropped = Counter(
            "llactr_served_log_dropped_rows", "Rows dropped: the queue was full", registry=registry
        )
        self.log_failures = Counter(
            "llactr_served_log_write_failures", "Files that could not be written", registry=registry
        )

    def text(self) -> bytes:
        """The exposition format: of this process, or of all workers together."""
        if self._shared is not None:
            registry = CollectorRegistry()
            MultiProcessCollector(registry, path=str(self._shared))
            return generate_latest(registry)
        return generate_latest(self.registry)


class ShadowMetrics(ScoringMetrics):
    """What a second bundle counts that scores beside the answers, and how far its scores are from those answered.

    Args:
        registry: of the service's `Metrics`.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry, name="llactr_shadow")
        self.requests = Counter(
            "llactr_shadow_requests",
            "Requests that the second bundle was to score: scored, dropped (it is behind) or failed",
            ["outcome"],
            registry=registry,
        )
        self.score_sum = Counter(
            "llactr_shadow_score_sum",
            "Sum of the scores of the same rows: as answered (main), and of the second bundle (shadow)",
            ["of"],
            registry=registry,
        )
        self.difference = Histogram(
            "llactr_shadow_score_difference",
            "Mean absolute difference between the two bundles' scores of a request's rows",
            buckets=_DIFFERENCES,
            registry=registry,
        )
        self.places = Histogram(
            "llactr_shadow_places_moved",
            "Places that an item of a ranking lies higher or lower with the second bundle, on average",
            buckets=_PLACES,
            registry=registry,
        )
        self.top_changed = Histogram(
            "llactr_shadow_top10_changed",
            "Share of a ranking's ten best items that are not among the second bundle's ten best",
            buckets=_SHARES,
            registry=registry,
        )
        self.bundle = Gauge(
            "llactr_shadow_bundle_info",
            "1 for the second bundle while it scores",
            ["bundle"],
            registry=registry,
            multiprocess_mode="livemax",
        )
