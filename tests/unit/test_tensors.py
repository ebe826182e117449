import json
import struct

import numpy as np
import pytest

from tagsmith.serve.problems import RequestError
from tagsmith.serve.tensors import Infer, encode_response, pack, split_body, strings, texts_of


def asked(**changes: object) -> Infer:
    tensor = {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["a", "b"], **changes}
    return Infer.model_validate({"inputs": [{name: value for name, value in tensor.items() if value is not None}]})


def test_strings_round_trip() -> None:
    texts = ["a", "", "ß€", "line\nbreak"]
    raw = pack(np.array(texts, dtype=object))
    assert raw[:5] == b"\x01\x00\x00\x00a"
    assert strings(raw, 4) == texts


@pytest.mark.parametrize(
    ("raw", "count"),
    [(b"\x01\x00\x00\x00", 1), (b"\x01\x00", 1), (b"\x01\x00\x00\x00ab", 1), (b"", 1), (b"\x00\x00\x00\x00", 2),
     (struct.pack("<I", 2**32 - 1), 1), (b"\x01\x00\x00\x00\xff", 1)],
)  # fmt: skip
def test_broken_strings_are_refused(raw: bytes, count: int) -> None:
    with pytest.raises(RequestError):
        strings(raw, count)


def test_texts_in_json_and_binary() -> None:
    assert texts_of(asked(), b"", "text") == ["a", "b"]
    assert texts_of(asked(shape=[2, 1], data=[["a"], ["b"]]), b"", "text") == ["a", "b"]
    raw = pack(np.array(["a", "b"], dtype=object))
    assert texts_of(asked(data=None, parameters={"binary_data_size": len(raw)}), raw, "text") == ["a", "b"]


@pytest.mark.parametrize(
    "changes",
    [{"name": "texts"}, {"datatype": "FP32"}, {"shape": [3]}, {"shape": []}, {"shape": [1, 2]}, {"data": None},
     {"parameters": {"binary_data_size": 5}}, {"data": None, "parameters": {"binary_data_size": True}},
     {"shape": [2**31, 2**31]}],
)  # fmt: skip
def test_other_inputs_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(RequestError) as refused:
        texts_of(asked(**changes), b"", "text")
    assert refused.value.status == 400


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "9" * 30, "11", "²"])
def test_the_json_must_be_within_the_body(length: str) -> None:
    with pytest.raises(RequestError):
        split_body(b"0123456789", length)
    assert split_body(b"0123456789", "4") == (b"0123", b"456789")


def test_outputs_in_json_and_binary() -> None:
    outputs = {"label": np.array(["x"], dtype=object), "scores": np.array([[0.25, 0.75]], dtype=np.float32)}
    content, length = encode_response(asked(), outputs, {"model_name": "m"})
    assert length is None
    assert json.loads(content)["outputs"] == [
        {"name": "label", "datatype": "BYTES", "shape": [1], "data": ["x"]},
        {"name": "scores", "datatype": "FP32", "shape": [1, 2], "data": [0.25, 0.75]},
    ]
    wanted = Infer.model_validate({"inputs": [], "outputs": [{"name": "scores", "parameters": {"binary_data": True}}]})
    content, length = encode_response(wanted, outputs, {})
    assert length is not None
    assert np.frombuffer(content[length:], dtype="<f4").tolist() == [0.25, 0.75]
    with pytest.raises(RequestError):
        encode_response(Infer.model_validate({"inputs": [], "outputs": [{"name": "other"}]}), outputs, {})
