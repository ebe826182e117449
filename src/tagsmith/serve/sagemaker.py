"""The contract of SageMaker for containers: `/ping` and `/invocations`, for endpoints and for batch transform.

Each document has one answer, in the order of the request: in JSON a list of objects, in JSON Lines an object a line, in
CSV a row of label and score. JSON has the field names of Hugging Face's containers. A bad line of JSON Lines has an
`error` as answer, so that it does not end a batch transform; any other bad document refuses the request.
"""

import codecs
import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import AliasChoices, BaseModel, Field
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from tagsmith.config.settings import ServeSettings
from tagsmith.serve.answers import Answer
from tagsmith.serve.deployments import Deployments
from tagsmith.serve.direct import Direct
from tagsmith.serve.loaded import Model, label_of
from tagsmith.serve.openapi import ERRORS, NOT_ACCEPTABLE, body, parameter
from tagsmith.serve.predict import Function, document, ranked_scores, scores_of
from tagsmith.serve.problems import RequestError, as_json
from tagsmith.serve.requests import check_number, check_texts, classify, find_deployment, parse_json, read_body

csv.field_size_limit(2**31 - 1)  # The default of 131,072 characters is less than a document may have.

JSON, LINES, CSV = "application/json", "application/jsonlines", "text/csv"
SPELLINGS = {
    JSON: JSON,
    LINES: LINES,
    "application/jsonl": LINES,
    "application/x-jsonlines": LINES,
    "application/x-ndjson": LINES,
    CSV: CSV,
}
CURL = "application/x-www-form-urlencoded"
"""What `curl -d` sends if no type is named; taken as JSON, as on the other wires."""

HEADER = ("inputs", "text")
"""A first row of a CSV body with one of these names is a header; the answer has one too."""

FORMATS: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind: {} for kind in (JSON, LINES, CSV)}, "description": "An answer for each document."}
}


class Parameters(BaseModel, strict=True):
    """The parameters of Hugging Face's containers that change an answer; others, such as `truncation`, are ignored."""

    top_k: Annotated[int, Field(ge=1)] | None = 1
    return_all_scores: bool = False
    function_to_apply: Function | None = None

    @property
    def most(self) -> int | None:
        """How many classes to return; None: all."""
        return None if self.return_all_scores else self.top_k


class Invocation(BaseModel, strict=True):
    """A JSON body: `inputs`, or `instances` as for the built-in algorithms."""

    inputs: str | Annotated[list[str], Field(min_length=1)] = Field(
        validation_alias=AliasChoices("inputs", "instances")
    )
    parameters: Parameters = Parameters()


class Line(BaseModel, strict=True):
    """One line of a JSON Lines body; the built-in algorithms call the text `source`."""

    inputs: str = Field(validation_alias=AliasChoices("inputs", "text", "source"))


@dataclass(frozen=True)
class Given:
    """The documents of a request.

    Attributes:
        errors: why a line of JSON Lines holds no document, by its position among all answers.
        alone: whether the body holds one document that is not in a list.
        header: whether a CSV body has a header.
    """

    texts: Sequence[str]
    errors: Mapping[int, RequestError] = field(default_factory=dict)
    alone: bool = False
    header: bool = False
    parameters: Parameters = field(default_factory=Parameters)


def routes(settings: ServeSettings, deployments: Deployments) -> APIRouter:
    """The routes of this wire."""
    router = APIRouter(tags=["SageMaker"], route_class=Direct)

    @router.get("/ping", response_class=Response, responses={200: {"description": "Ready."}, **ERRORS})
    async def ping(_: Request) -> Response:
        deployments.require_all()
        return Response()

    @router.post(
        "/invocations",
        summary="Classes, scores and the decision",
        response_class=Response,
        responses={**FORMATS, **ERRORS, **NOT_ACCEPTABLE},
        openapi_extra={**body(Invocation), "parameters": [parameter("deployment", {"type": "string"})]},
    )
    async def invocations(request: Request) -> Response:
        kind = content_type(request)
        accepted = accepted_type(request, kind)
        given = READERS[kind](await read_body(request, settings), settings)
        if given.errors and accepted == CSV:  # A row of it cannot say what is wrong.
            raise next(iter(given.errors.values()))
        check_texts(given.texts, settings)
        deployment = find_deployment(deployments, request.query_params.get("deployment"))
        with deployment.model.in_use() as model:
            answers = await classify(request, deployment, model, given.texts, settings) if given.texts else []
            return encoded(model, answers, given, accepted)

    return router


def content_type(request: Request) -> str:
    """The kind of the body. Raises: RequestError, if it is unknown."""
    sent = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if (kind := JSON if sent == CURL else SPELLINGS.get(sent)) is None:
        raise RequestError(415, f"Expected the content type {JSON}, {LINES} or {CSV}.")
    return kind


def accepted_type(request: Request, kind: str) -> str:
    """The kind of the answer: that of the body, unless the client names another one.

    Raises:
        RequestError: it accepts none of them.
    """
    accepted = [part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "*/*").split(",")]
    if "*/*" in accepted or kind in accepted:
        return kind
    if (found := next((SPELLINGS[name] for name in accepted if name in SPELLINGS), None)) is None:
        raise RequestError(406, f"Expected Accept to name {JSON}, {LINES} or {CSV}.")
    return found


def _from_json(content: bytes, _: ServeSettings) -> Given:
    given = parse_json(content, Invocation)
    if isinstance(given.inputs, str):
        return Given([given.inputs], alone=True, parameters=given.parameters)
    return Given(given.inputs, parameters=given.parameters)


def _from_lines(content: bytes, settings: ServeSettings) -> Given:
    texts: list[str] = []
    errors: dict[int, RequestError] = {}
    lines = [line for line in content.removeprefix(codecs.BOM_UTF8).splitlines() if line.strip()]
    check_number(len(lines), settings)
    for position, line in enumerate(lines):
        try:
            text = parse_json(line, Line).inputs
            check_texts([text], settings, position)
            texts.append(text)
        except RequestError as error:
            errors[position] = error
    return Given(texts if errors else _some(texts), errors)


def _from_csv(content: bytes, _: ServeSettings) -> Given:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RequestError(400, "The body is not CSV in UTF-8.") from None
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except csv.Error as error:
        raise RequestError(422, f"The body is not valid CSV: {error}.") from None
    for number, row in enumerate(rows, 1):
        if len(row) != 1:
            raise RequestError(422, f"Row {number}: expected one field, the text in quotation marks, found {len(row)}.")
    texts = [row[0] for row in rows]
    header = bool(texts) and texts[0] in HEADER
    return Given(_some(texts[header:]), header=header)


READERS = {JSON: _from_json, LINES: _from_lines, CSV: _from_csv}


def _some(texts: list[str]) -> list[str]:
    if not texts:
        raise RequestError(422, "The body holds no documents.")
    return texts


def encoded(model: Model, answers: Sequence[Answer], given: Given, accepted: str) -> Response:
    """The answers in the accepted format."""
    most, function = given.parameters.most, given.parameters.function_to_apply
    if accepted == CSV:
        table = io.StringIO(newline="")
        writer = csv.writer(table, lineterminator="\n")
        if given.header:
            writer.writerow(("label", "score"))
        for answer in answers:
            score = scores_of(model, answer, function)[label_of(model, answer)]
            writer.writerow(("|".join(answer.chosen), f"{score:.6f}"))
        return Response(table.getvalue(), media_type=CSV)
    found: list[Any]
    if most == 1:
        found = [labelled(model, answer, function) for answer in answers]
    else:
        classes = model.classifier.classes
        found = [ranked_scores(classes, scores_of(model, answer, function), most) for answer in answers]
    for position, error in given.errors.items():
        found.insert(position, {"error": error.message})
    if accepted == LINES:
        return Response(b"".join(to_json(one) + b"\n" for one in found), media_type=LINES)
    return as_json(found[0] if given.alone and most != 1 else found)


def labelled(model: Model, answer: Answer, function: Function | None) -> dict[str, Any]:
    """The label and its score, as in Hugging Face's containers, and everything else that the service returns."""
    label = label_of(model, answer)
    score = float(scores_of(model, answer, function)[label])
    return {"label": model.classifier.classes[label], "score": round(score, 6), **document(model, answer)}
