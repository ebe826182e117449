"""Tensors of the Open Inference Protocol in JSON and in Triton's binary extension, as pure functions.

Binary: the JSON comes first, with its length in the header `Inference-Header-Content-Length`, then the bytes of the
tensors in sequence. A string is its length (uint32, little-endian) and its UTF-8 bytes.
"""

import json
import math
import struct
from collections.abc import Sequence
from typing import Annotated, Any

from numpy.typing import NDArray
from pydantic import BaseModel, Field

from tagsmith.serve.problems import RequestError

Array = NDArray[Any]

DATATYPES = {"f": "FP32", "b": "BOOL", "O": "BYTES"}
"""By numpy's kind of a data type."""


class InputTensor(BaseModel, strict=True):
    """One input: `data` in JSON, or `binary_data_size` among its parameters."""

    name: str
    shape: Annotated[list[Annotated[int, Field(ge=0, le=1 << 31)]], Field(max_length=8)]
    datatype: str
    parameters: dict[str, Any] = {}
    data: list[str] | list[list[str]] | None = None


class RequestedOutput(BaseModel, strict=True):
    """One requested output."""

    name: str
    parameters: dict[str, Any] = {}


class Infer(BaseModel, strict=True):
    """The body of an inference request."""

    id: str | None = None
    inputs: list[InputTensor]
    outputs: list[RequestedOutput] = []
    parameters: dict[str, Any] = {}


def split_body(body: bytes, header_length: str | None) -> tuple[bytes, bytes]:
    """The JSON of a body and the binary tensors after it.

    Raises:
        RequestError: the header is not a number, or exceeds the length of the body.
    """
    if header_length is None:
        return body, b""
    if not (header_length.isascii() and header_length.isdecimal() and len(header_length) < 12):
        raise RequestError(400, "Inference-Header-Content-Length: expected a whole number.")
    length = int(header_length)
    if length > len(body):
        raise RequestError(
            400, f"Inference-Header-Content-Length: expected at most {len(body):,}, the length of the body."
        )
    return body[:length], body[length:]


def texts_of(inference: Infer, binary: bytes, name: str) -> list[str]:
    """The texts of the one input, BYTES of shape [documents] or [documents, 1].

    Raises:
        RequestError: the input is missing, or has another type or shape.
    """
    if [tensor.name for tensor in inference.inputs] != [name]:
        raise RequestError(400, f"inputs: expected one input with the name {name}.")
    (tensor,) = inference.inputs
    if tensor.datatype != "BYTES" or len(tensor.shape) not in (1, 2) or tensor.shape[1:] not in ([], [1]):
        raise RequestError(400, f"inputs: {name}: expected BYTES of shape [documents] or [documents, 1].")
    size = tensor.parameters.get("binary_data_size")
    if size is not None:
        if tensor.data is not None or not isinstance(size, int) or isinstance(size, bool) or size != len(binary):
            raise RequestError(
                400, f"inputs: {name}: binary_data_size does not match the {len(binary):,} bytes after the JSON."
            )
        texts = strings(binary, math.prod(tensor.shape))
    elif tensor.data is None or binary:
        raise RequestError(
            400, f"inputs: {name}: expected data, or binary_data_size and that many bytes after the JSON."
        )
    else:
        texts = [text for entry in tensor.data for text in ([entry] if isinstance(entry, str) else entry)]
    if len(texts) != math.prod(tensor.shape):
        raise RequestError(400, f"inputs: {name}: shape {tensor.shape} does not match {len(texts):,} texts.")
    return texts


def strings(raw: bytes, count: int) -> list[str]:
    """The strings of a binary tensor.

    Raises:
        RequestError: the bytes are not `count` strings in UTF-8.
    """
    found: list[str] = []
    at = 0
    while at < len(raw) and len(found) < count:
        if at + 4 > len(raw):
            break
        (length,) = struct.unpack_from("<I", raw, at)
        at += 4
        if at + length > len(raw):
            break
        try:
            found.append(raw[at : at + length].decode())
        except UnicodeDecodeError:
            raise RequestError(400, f"String {len(found)} of the binary tensor is not UTF-8.") from None
        at += length
    if at != len(raw) or len(found) != count:
        raise RequestError(400, f"The binary tensor does not hold {count:,} strings.")
    return found


def pack(values: Array) -> bytes:
    """A tensor as bytes, row by row; strings in the format that `strings` reads."""
    if values.dtype.kind == "O":
        encoded = [str(value).encode() for value in values.ravel()]
        return b"".join(struct.pack("<I", len(value)) + value for value in encoded)
    return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()


def encode_response(inference: Infer, outputs: dict[str, Array], origin: dict[str, Any]) -> tuple[bytes, int | None]:
    """The body of a response, and the length of its JSON if binary tensors follow.

    Args:
        outputs: all outputs; the requested ones are sent, all if none is requested.
        origin: further fields of the JSON.

    Raises:
        RequestError: a requested output does not exist, or not in the requested form.
    """
    requested: Sequence[RequestedOutput] = inference.outputs or [RequestedOutput(name=name) for name in outputs]
    default = inference.parameters.get("binary_data_output") is True
    tensors: list[dict[str, Any]] = []
    raw: list[bytes] = []
    for output in requested:
        if output.name not in outputs:
            raise RequestError(400, f"outputs: expected some of {', '.join(outputs)}.")
        if "classification" in output.parameters:
            raise RequestError(400, "outputs: classification is not supported; request label and scores.")
        values = outputs[output.name]
        tensor = {
            "name": output.name,
            "datatype": DATATYPES[values.dtype.kind],
            "shape": list(values.shape),
        }
        if output.parameters.get("binary_data", default) is True:
            raw.append(pack(values))
            tensors.append({**tensor, "parameters": {"binary_data_size": len(raw[-1])}})
        else:
            tensors.append({**tensor, "data": values.ravel().tolist()})
    content = {**origin, **({"id": inference.id} if inference.id is not None else {}), "outputs": tensors}
    header = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    return b"".join([header, *raw]), len(header) if raw else None
