"""Malicious and malformed bodies, drawn with a seed. To run by hand: python -m tests.integration.hostile 10000"""

import json
import random
import struct
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

AZURE = "/language/analyze-text/jobs?api-version=2023-04-01"
PLACES = (
    "/predict",
    "/",
    "/classify",
    "/v1/classify",
    "/invocations",
    "/v2/models/production/infer",
    "/v2/models/production/versions/1/infer",
    AZURE,
    "/language/analyze-text/jobs/x:cancel?api-version=2023-04-01",
)

GOOD: dict[str, Any] = {
    "/predict": {"inputs": "the cat", "raw_scores": False, "truncate": True},
    "/classify": {"texts": ["the cat"], "deployment": "production"},
    "/v1/classify": {"input": ["the cat"], "model": "production", "use_activation": False},
    "/invocations": {"inputs": ["the cat"], "parameters": {"top_k": 2}},
    "/v2/models/production/infer": {
        "inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["the cat"]}]
    },
    AZURE: {
        "analysisInput": {"documents": [{"id": "0", "text": "the cat"}]},
        "tasks": [
            {
                "kind": "CustomSingleLabelClassification",
                "parameters": {"projectName": "news", "deploymentName": "production"},
            }
        ],
    },
}


def hostile(draw: random.Random) -> tuple[str, bytes, dict[str, str]]:
    """A path, a body and headers."""
    place = draw.choice(PLACES)
    good = GOOD.get(place) or draw.choice(list(GOOD.values()))
    headers: dict[str, str] = {}
    kind = draw.randrange(12)
    if kind == 0:
        body = draw.randbytes(draw.randrange(400))
    elif kind == 1:
        body = b"[" * draw.choice([10, 1000, 60_000])
    elif kind == 2:
        body = b'{"a":' * draw.choice([10, 1000, 20_000]) + b"1"
    elif kind == 3:
        whole = json.dumps(good).encode()
        body = whole[: draw.randrange(len(whole))]
    elif kind == 4:
        whole = bytearray(json.dumps(good).encode())
        for _ in range(draw.randint(1, 5)):
            whole[draw.randrange(len(whole))] = draw.randrange(256)
        body = bytes(whole)
    elif kind == 5:
        body = json.dumps(good).replace("the cat", draw.choice(ODD_TEXTS)).encode("utf-8", "surrogatepass")
    elif kind == 6:
        body = json.dumps(_bent(good, draw)).encode("utf-8", "surrogatepass")
    elif kind == 7:
        odd = draw.choice(["1" * 5000, "1e999", "-1e-999", "NaN", "-Infinity", "0x10", '"\\ud800"', '"\\u0000"'])
        body = json.dumps(good).replace('"the cat"', odd).encode()
    elif kind == 8:
        body = json.dumps(good).encode()
        headers["Inference-Header-Content-Length"] = draw.choice(["0", "5", "-1", "99999999", "x", str(len(body))])
    elif kind == 9:
        tensor = {"name": "text", "shape": [draw.choice([0, 1, 2, 2**31])], "datatype": "BYTES"}
        raw = struct.pack("<I", draw.choice([0, 3, 2**32 - 1])) + draw.randbytes(draw.randrange(8))
        size = draw.choice([len(raw), 0, -1, 10**9])
        head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": size}}]}).encode()
        body, headers["Inference-Header-Content-Length"] = head + raw, str(len(head))
    elif kind == 10:
        documents = [{"id": str(i), "text": draw.choice(ODD_TEXTS)} for i in range(draw.choice([1, 30, 2000]))]
        body = json.dumps({**GOOD[AZURE], "analysisInput": {"documents": documents}}).encode("utf-8", "surrogatepass")
    else:
        body = json.dumps(good).encode(draw.choice(["utf-16", "utf-32", "utf-8-sig"]))
        headers["Content-Type"] = draw.choice(["text/plain", "application/json; charset=utf-7", "/", "x" * 500])
    if place == "/invocations" and draw.random() < 0.5:
        headers["Content-Type"] = draw.choice(["text/csv", "application/jsonlines", "text/csv; charset=utf-16"])
    if draw.random() < 0.1:
        headers[draw.choice(["Content-Encoding", "X-Forwarded-Host", "Accept", "x-ms-client-request-id"])] = (
            draw.choice(["gzip", "evil.example", "", "a" * 3000])
        )
    return place, body, headers


ODD_TEXTS = (
    "", " ", "\x00", "\ud800", "\udfff\ud800", "\u202e" * 50, "a" * 70_000, "🙂" * 3000, "\u0300" * 5000, "\n" * 1000,
    "<script>alert(1)</script>", "'; DROP TABLE jobs; --", "../../etc/passwd", "%s%n{0}", "ﷺ" * 500, "\ufeff",
    "word " * 9000,
)  # fmt: skip


def _bent(value: Any, draw: random.Random) -> Any:
    """The value with parts of it replaced by other types."""
    other = [None, True, 0, -1, 2**63, 2**200, 1.5, "", "x", [], {}, [[]], {"a": 1}, ["x"] * 50, "\ud800"]
    if draw.random() < 0.25:
        return draw.choice(other)
    if isinstance(value, dict):
        bent = {name: _bent(inner, draw) if draw.random() < 0.5 else inner for name, inner in value.items()}
        if draw.random() < 0.1:
            bent[draw.choice(["", "\ud800", "__class__", "a" * 2000])] = 1
        return bent
    if isinstance(value, list):
        return [_bent(inner, draw) for inner in value] * draw.choice([0, 1, 2, 50])
    return value


def main(count: int) -> None:
    """Send `count` bodies to a service; print the statuses and its memory."""
    import psutil

    from tests.bundles import make_bundle
    from tests.serving import serving

    draw = random.Random(0)
    statuses: Counter[int] = Counter()
    with (
        tempfile.TemporaryDirectory() as folder,
        serving({"production": make_bundle(Path(folder) / "b")}, jobs=str(Path(folder) / "jobs.sqlite")) as running,
    ):
        process = psutil.Process()
        for i in range(count):
            if i % (count // 10) == 0:
                print(f"{i:,} bodies: {process.memory_info().rss / 2**20:,.0f} MiB", flush=True)
            place, body, headers = hostile(draw)
            answer = running.post(place, data=body, headers=headers)
            statuses[answer.status_code] += 1
            assert answer.status_code < 500, (i, place, body[:300], headers)
            assert running.get("/health").status_code == 200 if i % 100 == 0 else True
        print(f"{count:,} bodies: {process.memory_info().rss / 2**20:,.0f} MiB", flush=True)
    print(dict(sorted(statuses.items())))


if __name__ == "__main__":
    main(int(sys.argv[1]))
