"""The metrics that Prometheus scrapes."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tagsmith.serve.answers import Answer

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
DOCUMENTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
TOKENS = (16, 64, 128, 256, 512, 1024, 2048, 4096, 8192)

METHODS = {"GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"}


class Metrics:
    """All metrics of one service; their names begin with `tagsmith_`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        counter = partial(Counter, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry)
        one = ["deployment"]
        self._requests = counter("tagsmith_requests", "Requests", ["route", "method", "status"])
        self._seconds = histogram(
            "tagsmith_request_seconds", "Seconds from request to response", ["route"], buckets=SECONDS
        )
        self._batch_documents = histogram("tagsmith_batch_documents", "Documents in a batch", one, buckets=DOCUMENTS)
        self._batch_tokens = histogram("tagsmith_batch_tokens", "Tokens in a batch", one, buckets=TOKENS)
        self._batch_seconds = histogram(
            "tagsmith_batch_seconds", "Seconds of a batch in the encoder", one, buckets=SECONDS
        )
        self._truncated = counter("tagsmith_truncated_documents", "Documents that were truncated", one)
        self._predictions = counter("tagsmith_predictions", "Predicted classes", ["deployment", "class"])
        self._without = counter("tagsmith_without_class", "Documents for which no class was predicted", one)
        self._to_person = counter("tagsmith_to_person", "Documents left for a person to decide", one)
        about = "Documents left for a person because they are unlike all training documents"
        self._foreign = counter("tagsmith_out_of_scope_documents", about, one)
        self.reloads = counter("tagsmith_reloads", "Reloaded bundles, taken or refused", ["deployment", "result"])

    def count_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answered request; `route` is a path template, never a path, so that there are few label values."""
        self._requests.labels(route, method if method in METHODS else "OTHER", str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def count_batch(self, deployment: str, answers: Sequence[Answer], seconds: float) -> None:
        """Count an answered batch of documents."""
        self._batch_tokens.labels(deployment).observe(sum(answer.tokens - answer.unread for answer in answers))
        self._batch_seconds.labels(deployment).observe(seconds)
        self._truncated.labels(deployment).inc(sum(answer.unread > 0 for answer in answers))
        self._to_person.labels(deployment).inc(sum(answer.to_person for answer in answers))
        self._foreign.labels(deployment).inc(sum(answer.foreign for answer in answers))
        self._without.labels(deployment).inc(sum(not answer.chosen for answer in answers))
        for answer in answers:
            for name in answer.chosen:
                self._predictions.labels(deployment, name).inc()
        # Last, so that a scrape never includes a document whose other metrics are still missing.
        self._batch_documents.labels(deployment).observe(len(answers))

    def add_jobs(self, count: Callable[[], float]) -> None:
        """Call `count` for the number of unfinished jobs at every scrape."""
        Gauge("tagsmith_jobs_waiting", "Unfinished asynchronous jobs", registry=self.registry).set_function(count)

    def add_state(self, collect: Callable[[], Iterable[Metric]]) -> None:
        """Call `collect` for further metrics at every scrape."""
        self.registry.register(_Callback(collect))

    def text(self) -> bytes:
        return generate_latest(self.registry)


class _Callback(Collector):
    def __init__(self, function: Callable[[], Iterable[Metric]]):
        self._function = function

    def collect(self) -> Iterable[Metric]:
        return self._function()


def family(
    kind: type[CounterMetricFamily | GaugeMetricFamily],
    name: str,
    about: str,
    labels: Sequence[str],
    rows: Iterable[tuple[Sequence[str], float]],
) -> Metric:
    """A counter or gauge with its current values, one for each row of label values."""
    found = kind(name, about, labels=labels)
    for values, value in rows:
        found.add_metric(values, value)
    return found
