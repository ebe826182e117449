"""Fuzzing: malformed bodies, and requests that schemathesis generates from the OpenAPI description."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bundles import make_bundle
from tests.integration.hostile import hostile
from tests.serving import KEY, Served, serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("bundles")
    bundles: dict[str, Path] = {"production": make_bundle(folder / "b")}
    with serving(bundles, jobs=str(folder / "jobs.sqlite"), max_documents=40) as running:
        yield running


def test_hostile_bodies(served: Served) -> None:
    draw = random.Random(1)
    statuses = set()
    for _ in range(250):
        place, body, headers = hostile(draw)
        answer = served.post(place, data=body, headers=headers)
        assert answer.status_code < 500, (place, body[:300], headers)
        if answer.status_code >= 400:
            error = answer.json()["error"]
            assert error["message"] if place.startswith(("/language", "/v1/")) else error
            assert all(part not in answer.text for part in ("Traceback", ".py", "site-packages", str(Path.cwd())))
        statuses.add(answer.status_code)
    assert {200, 202, 400, 404, 413, 422} <= statuses
    assert served.get("/health").status_code == 200


def test_schemathesis_finds_no_deviation_from_the_description(served: Served) -> None:
    schemathesis = pytest.importorskip("schemathesis", reason="needs the extra `fuzz`")
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

    headers = {"Authorization": f"Bearer {KEY}"}
    schema = schemathesis.openapi.from_url(f"{served.url}/openapi.json", headers=headers)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) >= 23
    quick = settings(
        max_examples=2, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    for operation in operations:

        @quick
        @given(case=operation.as_strategy())
        def check(case) -> None:  # type: ignore[no-untyped-def]
            case.call_and_validate(
                headers=headers,
                session=served.http,
                checks=[not_a_server_error, status_code_conformance, content_type_conformance],
            )

        check()
