"""The parts of a self-contained page: inlined libraries, data that cannot be read as markup, a content policy."""

import base64
import gzip
import hashlib
import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from markupsafe import Markup, escape

from tagsmith.core.files import in_package

STATIC = files("tagsmith.evaluate.report") / "static"


@dataclass(frozen=True)
class Script:
    """JavaScript as it is between its tags, and its hash in the content policy."""

    text: Markup
    hash: str


def script(text: str) -> Script:
    """Prepare JavaScript for inlining in a page.

    Raises:
        ValueError: it contains the end tag of its element.
    """
    # An HTML parser normalizes line ends to \n before it computes the hash.
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    # After <!--, HTML reads <script as markup. It occurs only in regular expressions and strings, where \x3C is a <.
    text = text.replace("<!--", "\\x3C!--")
    if re.search(r"</script", text, flags=re.IGNORECASE):
        raise ValueError("expected JavaScript without the end tag of its element, </script")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Script(Markup(text), f"sha256-{digest}")


@cache
def tables_script() -> Script:
    """DataTables with jQuery and extensions, as bundled by itables.

    The bundle is a module with exports, but an inlined module cannot be imported: it sets `globalThis.tables` instead.
    """
    bundle = in_package("itables/html/dt_bundle.js")  # Not imported, as itables imports pandas.
    if bundle is None:
        raise ModuleNotFoundError("itables")
    text = bundle.read_text(encoding="utf-8")
    statements = list(re.finditer(r"\bexport\s*\{((?:\s*[\w$]+ as [\w$]+\s*,?)+)\};?", text))
    if len(statements) != 1:
        raise ValueError(f"itables: expected a bundle with one export list, found {len(statements)}")
    (exported,) = statements
    names = (pair.split(" as ") for pair in exported[1].split(","))
    given = ",".join(f"{json.dumps(outer.strip())}:{inner.strip()}" for inner, outer in names)
    return script(f"{text[: exported.start()]}globalThis.tables={{{given}}};{text[exported.end() :]}")


def page_script(name: str) -> Script:
    """The code of a page, after the code of all pages."""
    return script("\n".join((STATIC / one).read_text(encoding="utf-8") for one in ("common.js", name)))


def style() -> str:
    """The style sheet of all pages."""
    return (STATIC / "style.css").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Packed:
    """JavaScript that the page unpacks on demand: gzip in base64, and the hash of the unpacked text."""

    text: Markup
    hash: str


@cache
def packed_plotly() -> Packed:
    """plotly.js, compressed to a third of its 4.8 MB; deterministic."""
    from plotly.offline import get_plotlyjs  # Imported here, as a page without charts does not need plotly.

    text = get_plotlyjs()
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    packed = base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()
    return Packed(Markup(packed), f"sha256-{digest}")


def content_policy(*hashes: str) -> str:
    """A Content-Security-Policy that allows only these scripts and no request to anywhere.

    plotly sets styles and draws heat maps as data: images; neither can run code or send anything.
    """
    scripts = " ".join(f"'{one}'" for one in hashes)
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


def json_text(content: Any) -> Markup:
    """JSON for a script element: no character can end the element or begin a comment.

    NaN and infinity, which JSON lacks, become null.
    """
    try:
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(content), ensure_ascii=False, separators=(",", ":"))
    return escaped_json(text)


def escaped_json(text: str) -> Markup:
    """JSON text with <, >, & and the two line ends of JavaScript that JSON lacks written as escapes."""
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def breakable(text: str) -> Markup:
    """Escaped text that may break after each word of a name."""
    return Markup("<wbr>").join(escape(part) for part in re.split(r"(?<=[_/.:-])", text))


def _finite(content: Any) -> Any:
    if isinstance(content, float):
        return content if abs(content) < float("inf") else None
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    return [_finite(value) for value in content] if isinstance(content, list | tuple) else content
