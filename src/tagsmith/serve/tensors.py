"""Tensors of the Open Inference Protocol, in JSON and in Triton's binary extension, as pure functions.

Binary: the JSON comes first, its length in the header `Inference-Header-Content-Length`, then the tensors' bytes one
after the other. A string is its length (uint32, little-endian) and its UTF-8 bytes.
"""

import json
import math
import struct
from collections.abc import Sequence
from typing import Annotated, Any

from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from tagsmith.serve.problems import Refused

Array = NDArray[Any]

DATATYPES = {"f": "FP32", "b": "BOOL", "O": "BYTES"}
"""By numpy's kind."""


class InputTensor(BaseModel):
    """One input: `data` in JSON, or `binary_data_size` among its parameters."""

    model_config = ConfigDict(strict=True)
    name: str
    shape: Annotated[list[Annotated[int, Field(ge=0, le=1 << 31)]], Field(max_length=8)]
    datatype: str
    parameters: dict[str, Any] = {}
    data: list[str] | list[list[str]] | None = None


class AskedOutput(BaseModel):
    """One output that is wanted."""

    model_config = ConfigDict(strict=True)
    name: str
    parameters: dict[str, Any] = {}


class Infer(BaseModel):
    """The body of an inference."""

    model_config = ConfigDict(strict=True)
    id: str | None = None
    inputs: list[InputTensor]
    outputs: list[AskedOutput] = []
    parameters: dict[str, Any] = {}


def split(body: bytes, header_length: str | None) -> tuple[bytes, bytes]:
    """The JSON of a body and the binary tensors after it.

    Raises:
        Refused: the header is no length of a part of the body.
    """
    if header_length is None:
        return body, b""
    if not (header_length.isascii() and header_length.isdecimal() and len(header_length) < 12):
        raise Refused(400, "Inference-Header-Content-Length: expected a whole number.")
    length = int(header_length)
    if length > len(body):
        raise Refused(400, f"Inference-Header-Content-Length: expected at most {len(body):,}, the body's length.")
    return body[:length], body[length:]


def texts_of(asked: Infer, binary: bytes, name: str) -> list[str]:
    """The texts of the one input, BYTES of shape [documents] or [documents, 1].

    Raises:
        Refused: it is not there or not like that.
    """
    if [tensor.name for tensor in asked.inputs] != [name]:
        raise Refused(400, f"inputs: expected one, of the name {name}.")
    (tensor,) = asked.inputs
    if tensor.datatype != "BYTES" or len(tensor.shape) not in (1, 2) or tensor.shape[1:] not in ([], [1]):
        raise Refused(400, f"inputs: {name}: expected BYTES of shape [documents] or [documents, 1].")
    size = tensor.parameters.get("binary_data_size")
    if size is not None:
        if tensor.data is not None or not isinstance(size, int) or isinstance(size, bool) or size != len(binary):
            raise Refused(400, f"inputs: {name}: binary_data_size is not the {len(binary):,} bytes after the JSON.")
        texts = strings(binary, math.prod(tensor.shape))
    elif tensor.data is None or binary:
        raise Refused(400, f"inputs: {name}: expected data, or binary_data_size and as many bytes after the JSON.")
    else:
        texts = [text for entry in tensor.data for text in ([entry] if isinstance(entry, str) else entry)]
    if len(texts) != math.prod(tensor.shape):
        raise Refused(400, f"inputs: {name}: shape {tensor.shape} is not that of {len(texts):,} texts.")
    return texts


def strings(raw: bytes, count: int) -> list[str]:
    """Strings of a binary tensor.

    Raises:
        Refused: the bytes are not `count` strings in UTF-8.
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
            raise Refused(400, f"String {len(found)} of the binary tensor is not in UTF-8.") from None
        at += length
    if at != len(raw) or len(found) != count:
        raise Refused(400, f"The binary tensor does not hold {count:,} strings.")
    return found


def packed(values: Array) -> bytes:
    """A tensor as bytes, row by row; strings as `strings` reads them."""
    if values.dtype.kind == "O":
        encoded = [str(value).encode() for value in values.ravel()]
        return b"".join(struct.pack("<I", len(value)) + value for value in encoded)
    return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()


def response(asked: Infer, outputs: dict[str, Array], about: dict[str, Any]) -> tuple[bytes, int | None]:
    """The body of an answer, and the length of its JSON where tensors follow it.

    Args:
        outputs: all that there are; those asked for are sent, all where none is.
        about: what else stands in the JSON.

    Raises:
        Refused: an output is asked for that there is not, or asked for as something else.
    """
    wanted: Sequence[AskedOutput] = asked.outputs or [AskedOutput(name=name) for name in outputs]
    default = asked.parameters.get("binary_data_output") is True
    told: list[dict[str, Any]] = []
    raw: list[bytes] = []
    for output in wanted:
        if output.name not in outputs:
            raise Refused(400, f"outputs: there are {', '.join(outputs)}.")
        if "classification" in output.parameters:
            raise Refused(400, "outputs: classification is not supported; ask for label and scores.")
        values = outputs[output.name]
        tensor = {
            "name": output.name,
            "datatype": DATATYPES[values.dtype.kind],
            "shape": list(values.shape),
        }
        if output.parameters.get("binary_data", default) is True:
            raw.append(packed(values))
            told.append({**tensor, "parameters": {"binary_data_size": len(raw[-1])}})
        else:
            told.append({**tensor, "data": values.ravel().tolist()})
    content = {**about, **({"id": asked.id} if asked.id is not None else {}), "outputs": told}
    header = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    return b"".join([header, *raw]), len(header) if raw else None
