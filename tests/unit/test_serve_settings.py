import pytest

from tagsmith.config.composition import to_settings
from tagsmith.config.settings import ServeRun
from tagsmith.core.errors import SettingsError
from tagsmith.core.local_http import is_loopback
from tagsmith.serve.gate import Keys, host_of
from tagsmith.serve.service import api_keys
from tests.unit.test_config import composed

GOOD = "serve.deployments={production: bundles/v3, staging: bundles/v4}"


def test_deployments_are_spelled_as_a_dict() -> None:
    settings = to_settings(composed("serve", "serve.project=news", GOOD), ServeRun)
    assert settings.serve.deployments == {"production": "bundles/v3", "staging": "bundles/v4"}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "serve.deployments: expected at least one"),
        (["serve.deployments={a b: x}"], "found 'a b'"),
        ([GOOD, "serve.project=../x"], "serve.project: expected letters"),
        ([GOOD, "serve.port=70000"], "serve.port: expected at least 0 and at most 65535"),
        ([GOOD, "serve.public_url=api"], "serve.public_url: expected http"),
        ([GOOD, "serve.queue_documents=5"], "max_documents=1000"),
    ],
)
def test_what_cannot_be_is_told(overrides: list[str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        to_settings(composed("serve", *overrides), ServeRun)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("192.0.2.1", False), ("example.org", False), ("", False)],
)  # fmt: skip
def test_who_reaches_an_address(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_keys() -> None:
    from starlette.datastructures import Headers

    assert api_keys(" , ") == api_keys("") == []
    keys = Keys(api_keys("one, two,"))
    assert keys
    assert keys.accept(Headers({"Ocp-Apim-Subscription-Key": "two"}))
    assert keys.accept(Headers({"authorization": "bearer one"}))
    for wrong in ({}, {"authorization": "Bearer "}, {"authorization": "one"}, {"Ocp-Apim-Subscription-Key": "one,two"}):
        assert not keys.accept(Headers(wrong))
    assert Keys([]).accept(Headers({}))


@pytest.mark.parametrize(
    ("header", "name"),
    [("localhost:8765", "localhost"), ("[::1]:8765", "::1"), ("127.0.0.1", "127.0.0.1"),
     ("Evil.Example", "evil.example")],
)  # fmt: skip
def test_the_name_in_the_host_header(header: str, name: str) -> None:
    from starlette.datastructures import Headers

    assert host_of(Headers({"host": header})) == name
