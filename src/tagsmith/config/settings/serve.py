"""Settings of the service."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tagsmith.config.settings.fields import setting

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Names of projects and deployments: they stand in URLs and in metrics."""


@dataclass
class ServeSettings:
    """The service: which bundles it serves, where, and what it refuses."""

    project: str = setting("tagsmith", "name of the project that clients ask for")
    deployments: dict[str, str] = setting(
        {}, "the bundle of each deployment, {NAME: FOLDER}; a link, such as bundles/current, is watched"
    )
    host: str = setting("127.0.0.1", "address to listen on; other than loopback needs TAGSMITH_API_KEYS")
    port: int = setting(8765, "port to listen on; 0: any that is free", low=0, high=65535)
    public_url: str | None = setting(
        None, "URL at which clients reach the service, for links to jobs; null: as the request came"
    )
    public_key: str | None = setting(
        None,
        "file of the public key, in PEM, with whose private one every bundle must be signed (extra sign); null: none",
    )
    threads: int | None = setting(None, "threads that compute; null: as many as there are cores", unit="threads", low=1)
    batch_tokens: int = setting(2048, "most that leaves the queue together", unit="tokens", low=16)
    queue_documents: int = setting(
        2048, "most that wait for an encoder; beyond it requests get 429", unit="documents", low=1
    )
    max_body_mib: float = setting(8.0, "largest body of a request", unit="MiB", low=0.001, high=1024)
    max_documents: int = setting(1000, "most of one request", unit="documents", low=1)
    max_characters: int = setting(500_000, "longest document", unit="characters", low=1)
    max_seconds: float = setting(60.0, "longest that a request may take, its body included", unit="seconds", low=0.01)
    jobs: str | None = setting("jobs.sqlite", "file of the asynchronous jobs; null: they do not survive a restart")
    max_jobs: int = setting(1000, "most that are not done; beyond it new ones get 429", unit="jobs", low=1)
    job_hours: float = setting(24.0, "how long a job can be asked for", unit="hours", low=0.0001)
    watch_seconds: float = setting(2.0, "between two looks at the bundles' folders; 0: none", unit="seconds", low=0)
    drain_seconds: float = setting(
        30.0, "longest that leaving waits for requests that are not answered yet", unit="seconds", low=0
    )
    drift_documents: int = setting(
        10_000, "how many of the last documents are compared with the bundle's reference", unit="documents", low=100
    )
    traces: bool = setting(
        False, "send OpenTelemetry traces of requests (extra otel), where OTEL_EXPORTER_OTLP_ENDPOINT and the like say"
    )
    log_texts: bool = setting(False, "write the text of every document into the log")

    def problems(self) -> Iterator[str]:
        names = [("project", self.project), *(("deployments", name) for name in self.deployments)]
        for setting_name, name in names:
            if not NAME.fullmatch(name):
                expected = "expected letters, digits, dots, hyphens and underscores, at most 64"
                yield f"{setting_name}: {expected}, found {name!r}"
        if not self.deployments:
            yield "deployments: expected at least one, {production: FOLDER}, found none"
        if self.queue_documents < self.max_documents:
            yield (
                f"queue_documents: expected at least max_documents={self.max_documents}, so that such a request is "
                f"answered at all, found {self.queue_documents}"
            )
        if self.public_url is not None and urlsplit(self.public_url).scheme not in ("http", "https"):
            yield f"public_url: expected http://... or https://..., found {self.public_url}"


@dataclass
class ServeRun:
    """Settings of `scripts/serve.py`."""

    serve: ServeSettings = field(default_factory=ServeSettings)
