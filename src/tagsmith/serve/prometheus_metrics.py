"""The service's figures, as Prometheus scrapes them."""

from collections.abc import Callable, Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tagsmith.serve.answers import Answer

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
DOCUMENTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
TOKENS = (16, 64, 128, 256, 512, 1024, 2048, 4096, 8192)

METHODS = {"GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"}


class Figures:
    """All metrics of one service; names begin with `tagsmith_`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self._requests = Counter("tagsmith_requests", "Requests", ["route", "method", "status"], registry=registry)
        self._seconds = Histogram(
            "tagsmith_request_seconds", "From request to answer", ["route"], buckets=SECONDS, registry=registry
        )
        one = ["deployment"]
        self._batch_documents = Histogram(
            "tagsmith_batch_documents", "Documents a batch", one, buckets=DOCUMENTS, registry=registry
        )
        self._batch_tokens = Histogram(
            "tagsmith_batch_tokens", "Tokens a batch", one, buckets=TOKENS, registry=registry
        )
        self._batch_seconds = Histogram(
            "tagsmith_batch_seconds", "Seconds a batch is in the encoder", one, buckets=SECONDS, registry=registry
        )
        self._truncated = Counter(
            "tagsmith_truncated_documents", "Documents of which tokens were not read", one, registry=registry
        )
        self._predictions = Counter(
            "tagsmith_predictions", "Predicted classes", ["deployment", "class"], registry=registry
        )
        self._without = Counter(
            "tagsmith_without_class", "Documents for which no class was predicted", one, registry=registry
        )
        self._to_person = Counter("tagsmith_to_person", "Documents left to a person", one, registry=registry)
        self._foreign = Counter(
            "tagsmith_out_of_scope_documents",
            "Those of them that are unlike all training documents",
            one,
            registry=registry,
        )
        self.queue_full = Counter(
            "tagsmith_queue_full", "Requests refused because the queue was full", one, registry=registry
        )
        self.reloads = Counter(
            "tagsmith_reloads", "Bundles taken or refused", ["deployment", "result"], registry=registry
        )

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """One answered request; `route` is a template, never a path, so that there are few of them."""
        self._requests.labels(route, method if method in METHODS else "OTHER", str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def batch(self, deployment: str, answers: Sequence[Answer], seconds: float) -> None:
        """One batch of documents that has been answered."""
        self._batch_tokens.labels(deployment).observe(sum(answer.tokens - answer.unread for answer in answers))
        self._batch_seconds.labels(deployment).observe(seconds)
        self._truncated.labels(deployment).inc(sum(answer.unread > 0 for answer in answers))
        self._to_person.labels(deployment).inc(sum(answer.to_person for answer in answers))
        self._foreign.labels(deployment).inc(sum(answer.foreign for answer in answers))
        self._without.labels(deployment).inc(sum(not answer.chosen for answer in answers))
        for answer in answers:
            for name in answer.chosen:
                self._predictions.labels(deployment, name).inc()
        # The last: a scrape in between does not find documents counted of which the rest is not.
        self._batch_documents.labels(deployment).observe(len(answers))

    def jobs(self, count: Callable[[], float]) -> None:
        """Have `count` asked for the jobs that are not done."""
        Gauge("tagsmith_jobs_waiting", "Asynchronous jobs not done", registry=self.registry).set_function(count)

    def state(self, collect: Callable[[], Iterable[Metric]]) -> None:
        """Have `collect` asked at every scrape."""
        self.registry.register(_Asked(collect))

    def text(self) -> bytes:
        return generate_latest(self.registry)


class _Asked(Collector):
    def __init__(self, ask: Callable[[], Iterable[Metric]]):
        self._ask = ask

    def collect(self) -> Iterable[Metric]:
        return self._ask()


def gauge(name: str, about: str, labels: Sequence[str], rows: Iterable[tuple[Sequence[str], float]]) -> Metric:
    """A metric of this moment, one value a row of label values."""
    family = GaugeMetricFamily(name, about, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family
