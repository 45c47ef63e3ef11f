"""Exposition: the metrics as Prometheus reads them, and how long checks took. Serves nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from .checks.model import Result, Target
from .config.model import CheckType
from .metrics import FAMILIES, PREFIX, Kind, Labels, Look

DURATION: Final = "check_duration_seconds"
DURATION_TEXT: Final = "Seconds that checks of a real server took, by their result."
DURATION_LABELS: Final = ("server", "check", "result")
_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The durations of checks as they come, and a scrape of them with all else."""

    def __init__(self) -> None:
        self._durations = Histogram(
            f"{PREFIX}{DURATION}", DURATION_TEXT, DURATION_LABELS, registry=None, buckets=_BUCKETS_S
        )
        self._observed: set[Labels] = set()

    def observe(self, target: Target, result: Result) -> None:
        """Counts one check that was carried out."""
        if result.passed is None:
            return  # it says nothing of the server, and is counted elsewhere
        labels = (*_check(target), "passed" if result.passed else "failed")
        self._observed.add(labels)
        self._durations.labels(*labels).observe(result.duration_s)

    def forget(self, present: Iterable[Target]) -> None:
        """Drops the durations of what is not checked any more, so that reloads leave nothing."""
        kept = {_check(target) for target in present}
        for labels in [labels for labels in self._observed if labels[:2] not in kept]:
            self._observed.discard(labels)
            self._durations.remove(*labels)

    def text(self, look: Look, accept: str) -> tuple[bytes, str]:
        """All of it and its content type: OpenMetrics if ``accept`` asks for it, else Prometheus.

        Any thread may call this, while others observe.
        """
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Scrape(look))
        registry.register(self._durations)
        ProcessCollector(registry=registry)
        encoder, content_type = choose_encoder(accept)
        return encoder(registry), content_type


def preferred(accept: str | None) -> str:
    """The content type of what would be answered to this: one of a few, whatever is asked for."""
    _, content_type = choose_encoder(accept or "")
    return content_type


def _check(target: Target) -> Labels:
    check = target.check
    negotiates = check.type in (CheckType.NEGOTIATE, CheckType.COMBINED)
    return target.name, check.service if negotiates else check.type.value


class _Scrape(Collector):
    def __init__(self, look: Look) -> None:
        self._look = look

    def collect(self) -> Iterator[Metric]:
        for family in FAMILIES:
            counts = family.kind is Kind.COUNTER
            metric = (CounterMetricFamily if counts else GaugeMetricFamily)(
                f"{PREFIX}{family.name}", family.text, labels=family.labels
            )
            for labels, value in family.values(self._look):
                metric.add_metric(labels, float(value))
            yield metric
