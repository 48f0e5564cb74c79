"""Counters, histograms and gauges whose children are bound once and then cost an addition.

prometheus_client writes them out and records nothing: its children take a lock for each observation, which
one event loop does not need.

Source: https://prometheus.io/docs/concepts/metric_types/ and
https://prometheus.io/docs/practices/naming/ (label values must be few)
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from typing import Generic, Protocol, TypeVar

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

NONE = "none"  # A label whose value is not known yet
OTHER = "other"  # A label whose value is one too many
_MAX_NAME = 200  # Characters. A longer name is no name, and a scrape would carry it for ever


class Names:
    """Label values that come from outside, and how many of them may become series of their own.

    Without a limit whoever may call could fill our memory, and Prometheus's, with names.
    """

    def __init__(self, limit: int) -> None:
        self._room = limit
        self._known = {NONE, OTHER}  # Ours, whoever sends them

    def label(self, name: str) -> str:
        """The name itself while there is room, then `other`; `none` for an empty one."""
        if name in self._known:
            return name
        if not name:
            return NONE
        # Not printable is also a lone surrogate, which no scrape could encode.
        if not self._room or len(name) > _MAX_NAME or not name.isprintable():
            return OTHER
        self._room -= 1
        self._known.add(name)
        return name


class Count:
    """A number that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class Histogram:
    """Durations in seconds, counted by upper bound (inclusive)."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)  # The last is what exceeds every bound
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Adds a duration in seconds."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def write(self, family: HistogramMetricFamily, labels: tuple[str, ...]) -> None:
        """Adds the samples: cumulative buckets up to +Inf, sum and count."""
        bounds = (*map(floatToGoString, self._bounds), "+Inf")
        family.add_metric(labels, list(zip(bounds, accumulate(self._counts), strict=True)), self._sum)


class Family(Protocol):
    """What one HELP line of a scrape describes."""

    name: str

    def collect(self) -> Metric:
        """The samples as they are now."""
        ...


Child = TypeVar("Child")


class _Labelled(Generic[Child]):
    """Children by label values, made at their first use. Bind one where a request would look it up."""

    def __init__(self, name: str, documentation: str, labels: tuple[str, ...], new: Callable[[], Child]) -> None:
        self.name = name
        self.documentation = documentation
        self.labels = labels
        self.children: dict[tuple[str, ...], Child] = {}
        self._new = new

    def child(self, *values: str) -> Child:
        """The child with these label values, in the order of `labels`."""
        child = self.children.get(values)
        if child is None:
            if len(values) != len(self.labels):
                raise ValueError(f"{self.name} has the labels {self.labels}, not {len(values)} of them")
            child = self.children[values] = self._new()
        return child


class Counters(_Labelled[Count]):
    """A counter. Its name ends in `_total`."""

    def __init__(self, name: str, documentation: str, labels: tuple[str, ...]) -> None:
        super().__init__(name, documentation, labels, Count)

    def collect(self) -> Metric:
        """The samples as they are now."""
        family = CounterMetricFamily(self.name, self.documentation, labels=self.labels)
        for labels, count in self.children.items():
            family.add_metric(labels, count.value)
        return family


class Histograms(_Labelled[Histogram]):
    """A histogram of seconds. Its name ends in `_seconds`, its bounds ascend."""

    def __init__(self, name: str, documentation: str, labels: tuple[str, ...], bounds: tuple[float, ...]) -> None:
        super().__init__(name, documentation, labels, lambda: Histogram(bounds))

    def collect(self) -> Metric:
        """The samples as they are now."""
        family = HistogramMetricFamily(self.name, self.documentation, labels=self.labels)
        for labels, histogram in self.children.items():
            histogram.write(family, labels)
        return family


class Sums:
    """A counter without labels that its owner keeps, and is asked for at each scrape."""

    def __init__(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        self.name = name
        self._documentation = documentation
        self._read = read

    def collect(self) -> Metric:
        """The sample as it is now."""
        return CounterMetricFamily(self.name, self._documentation, value=self._read())


class Gauges:
    """A gauge whose owner is asked at each scrape: there is no second copy that could differ."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: tuple[str, ...],
        read: Callable[[], Mapping[tuple[str, ...], float]],
    ) -> None:
        self.name = name
        self._documentation = documentation
        self._labels = labels
        self._read = read

    def collect(self) -> Metric:
        """The samples as they are now."""
        family = GaugeMetricFamily(self.name, self._documentation, labels=self._labels)
        for labels, value in self._read().items():
            family.add_metric(labels, value)
        return family


class Catalogue(Collector):
    """Every family of ours, as prometheus_client's registry wants to see them."""

    def __init__(self) -> None:
        self._families: dict[str, Family] = {}

    def add(self, *families: Family) -> None:
        """Raises ValueError for a name that is taken: a scrape with both would be refused as a whole."""
        for family in families:
            if family.name in self._families:
                raise ValueError(f"the metric {family.name} exists")
            self._families[family.name] = family

    def collect(self) -> Iterable[Metric]:
        """All samples as they are now."""
        return [family.collect() for family in self._families.values()]
