"""Settings of the service."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tagsmith.config.settings.engine import ENGINE, PRECISION, EngineName, Precision
from tagsmith.config.settings.fields import setting

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Names of projects and deployments, which are part of URLs and metrics."""


@dataclass
class ServeBounds:
    """Bounds of what the documents of a deployment show; `/deployments` lists those that are passed."""

    drift: float = setting(0.25, "largest population stability index of classes, scores, lengths and distances", low=0)
    out_of_scope: float = setting(
        0.05, "most by which the share of documents unlike all training documents may exceed that at the test", low=0
    )
    to_person: float = setting(
        0.1, "most by which the share of documents left for a person may exceed that at the test", low=0
    )
    accuracy: float = setting(
        0.05, "most by which the whole interval of the expected accuracy may be below the accuracy at the test", low=0
    )


@dataclass
class ServeSettings:
    """The service: its bundles, its address and its limits."""

    project: str = setting("tagsmith", "name of the project in requests")
    deployments: dict[str, str] = setting(
        {},
        "bundle of each deployment, or store of refresh.py, {NAME: FOLDER}; symbolic links, such as bundles/current, "
        "are watched for changes",
        reads=True,
    )
    shadows: dict[str, str] = setting(
        {},
        "bundle, or store, that gets the documents of a deployment after they are answered, {NAME: FOLDER}; its "
        "answers are compared and never returned",
        reads=True,
    )
    shadow_documents: int = setting(
        512, "maximum number of documents that wait for a shadow; further ones are dropped", unit="documents", low=1
    )
    shadow_seconds: float = setting(
        1.0,
        "least time from one document of a shadow to the next, so that it slows nobody; 0: no pauses",
        unit="seconds",
        low=0,
    )
    host: str = setting("127.0.0.1", "address to listen on; any other than loopback requires TAGSMITH_API_KEYS")
    port: int = setting(8765, "port to listen on; 0: any free port", low=0, high=65535)
    sagemaker: bool = setting(
        False, "respond to /ping and /invocations without a key, as a container of SageMaker, which checks who asks"
    )
    public_url: str | None = setting(
        None, "URL at which clients reach the service, for links to jobs; null: that of the request"
    )
    public_key: str | None = setting(
        None,
        "PEM file of the public key that must verify the signature of every bundle (extra sign); null: no verification",
        reads=True,
    )
    threads: int | None = setting(None, "threads for inference; null: one per core", unit="threads", low=1)
    engine: EngineName = setting(EngineName.auto, ENGINE)
    precision: Precision = setting(Precision.auto, PRECISION)
    batch_tokens: int = setting(2048, "maximum number of tokens in one batch", unit="tokens", low=16)
    queue_documents: int = setting(
        2048,
        "maximum number of documents in the queue; beyond it requests are answered with 429",
        unit="documents",
        low=1,
    )
    max_body_mib: float = setting(8.0, "maximum size of a request body", unit="MiB", low=0.001, high=1024)
    max_documents: int = setting(1000, "maximum number of documents in a request", unit="documents", low=1)
    max_characters: int = setting(500_000, "maximum length of a document", unit="characters", low=1)
    max_seconds: float = setting(
        60.0, "time limit of a request, including the transfer of its body", unit="seconds", low=0.01
    )
    jobs: str | None = setting(
        "jobs.sqlite", "database of asynchronous jobs; null: in memory, jobs are lost at a restart"
    )
    max_jobs: int = setting(
        1000, "maximum number of unfinished jobs; beyond it new ones are answered with 429", unit="jobs", low=1
    )
    job_hours: float = setting(24.0, "time for which the result of a job is kept", unit="hours", low=0.0001)
    watch_seconds: float = setting(
        2.0, "interval between checks of the bundle folders; 0: no checks", unit="seconds", low=0
    )
    drain_seconds: float = setting(
        30.0, "maximum time that a shutdown waits for requests in progress", unit="seconds", low=0
    )
    drift_documents: int = setting(
        10_000,
        "number of most recent documents that are compared with the bundle's reference",
        unit="documents",
        low=100,
    )
    bounds: ServeBounds = field(default_factory=ServeBounds)
    authoring: str | None = setting(
        None,
        "folder of the projects of Azure's authoring API, whose trainings and deployments are then served; needs "
        "TAGSMITH_API_KEYS; null: no authoring",
    )
    authoring_texts: str | None = setting(
        None, "folder with a folder of texts for each storageInputContainerName of these projects", reads=True
    )
    authoring_hours: float = setting(
        10.0, "time after which a training of these projects is ended", unit="hours", low=0.001
    )
    traces: bool = setting(
        False, "send OpenTelemetry traces of requests (extra otel), configured by OTEL_EXPORTER_OTLP_ENDPOINT etc."
    )
    log_texts: bool = setting(False, "log the text of every document")
    keep_texts: dict[str, str] = setting(
        {}, "file in which texts of a deployment are kept for tagging, {NAME: FILE.jsonl}; none: no texts are kept"
    )
    keep_documents: int = setting(
        2000,
        "maximum number of documents in such a file: uncertain ones, a tenth at random",
        unit="documents",
        low=1,
    )
    keep_seconds: float = setting(30.0, "interval between writes of such a file", unit="seconds", low=0.01)

    def problems(self) -> Iterator[str]:
        names = [("project", self.project), *(("deployments", name) for name in self.deployments)]
        for setting_name, name in names:
            if not NAME.fullmatch(name):
                expected = "expected letters, digits, dots, hyphens and underscores, at most 64"
                yield f"{setting_name}: {expected}, found {name!r}"
        if (self.authoring is None) != (self.authoring_texts is None):
            yield (
                f"authoring, authoring_texts: expected both or none, found authoring={self.authoring} and "
                f"authoring_texts={self.authoring_texts}"
            )
        if not self.deployments and self.authoring is None:
            yield "deployments: expected at least one, such as {production: FOLDER}, found none"
        for setting_name, own in (("shadows", self.shadows), ("keep_texts", self.keep_texts)):
            if unknown := [name for name in own if name not in self.deployments]:
                yield f"{setting_name}: expected names of deployments, found {', '.join(unknown)}"
        if len({Path(path).resolve() for path in self.keep_texts.values()}) < len(self.keep_texts):
            yield "keep_texts: expected a file for each deployment, found one for several"
        if self.queue_documents < self.max_documents:
            yield (
                f"queue_documents: expected at least max_documents={self.max_documents}, so that a "
                f"request of that size can be answered, found {self.queue_documents}"
            )
        if self.public_url is not None and urlsplit(self.public_url).scheme not in ("http", "https"):
            yield f"public_url: expected http://... or https://..., found {self.public_url}"


@dataclass
class ServeRun:
    """Settings of `scripts/serve.py`."""

    serve: ServeSettings = field(default_factory=ServeSettings)
