"""What makes the page one file: libraries inlined, data that is never taken for markup, a policy for all else."""

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
    """JavaScript as it stands between its tags, and the hash by which the policy knows it."""

    text: Markup
    hash: str


def script(text: str) -> Script:
    """Make JavaScript ready to stand in a page.

    Raises:
        ValueError: it holds what would end its element.
    """
    # An HTML parser makes every line end a \n before the hash is taken.
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    # After it, HTML takes <script for markup; it occurs in regular expressions and strings alone, where \x3C is a <.
    text = text.replace("<!--", "\\x3C!--")
    if re.search(r"</script", text, flags=re.IGNORECASE):
        raise ValueError("expected JavaScript that does not hold the end of its own element, </script")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Script(Markup(text), f"sha256-{digest}")


@cache
def tables_script() -> Script:
    """DataTables, with jQuery and its extensions, as itables bundles them.

    The bundle is a module that exports; one that stands in a page cannot be imported, so it hands out its names.
    """
    bundle = in_package("itables/html/dt_bundle.js")  # Not imported: itables would bring pandas along.
    if bundle is None:
        raise ModuleNotFoundError("itables")
    text = bundle.read_text(encoding="utf-8")
    statements = list(re.finditer(r"\bexport\s*\{((?:\s*[\w$]+ as [\w$]+\s*,?)+)\};?", text))
    if len(statements) != 1:
        raise ValueError(f"itables: expected a bundle with one list of what it exports, found {len(statements)}")
    (exported,) = statements
    names = (pair.split(" as ") for pair in exported[1].split(","))
    given = ",".join(f"{json.dumps(outer.strip())}:{inner.strip()}" for inner, outer in names)
    return script(f"{text[: exported.start()]}globalThis.tables={{{given}}};{text[exported.end() :]}")


def page_script(name: str) -> Script:
    """A page's own few lines, after those that all pages have."""
    return script("\n".join((STATIC / one).read_text(encoding="utf-8") for one in ("common.js", name)))


def style() -> str:
    """The style sheet of all pages."""
    return (STATIC / "style.css").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Packed:
    """JavaScript that the page unpacks when it needs it: gzip in base64, and the hash of what comes of it."""

    text: Markup
    hash: str


@cache
def packed_plotly() -> Packed:
    """plotly.js, a third of its 4.8 MB; the same bytes every time."""
    from plotly.offline import get_plotlyjs  # Imported here: a page without charts does not wait for plotly.

    text = get_plotlyjs()
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    packed = base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()
    return Packed(Markup(packed), f"sha256-{digest}")


def content_policy(*hashes: str) -> str:
    """A Content-Security-Policy under which these scripts run, and nothing is fetched from anywhere.

    plotly sets styles and draws heat maps as data: images; neither can run or send anything.
    """
    scripts = " ".join(f"'{one}'" for one in hashes)
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


def json_text(content: Any) -> Markup:
    """JSON that may stand in a script element: no character of it can end the element or begin a comment.

    What is no number becomes null, which JSON has, and NaN, which it has not, does not.
    """
    try:
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(content), ensure_ascii=False, separators=(",", ":"))
    return escaped_json(text)


def escaped_json(text: str) -> Markup:
    """JSON text with <, >, & and the two line ends that JavaScript has beside JSON's written as escapes."""
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def breakable(text: str) -> Markup:
    """Text, escaped, that may be divided where words of a name end."""
    return Markup("<wbr>").join(escape(part) for part in re.split(r"(?<=[_/.:-])", text))


def _finite(content: Any) -> Any:
    if isinstance(content, float):
        return content if abs(content) < float("inf") else None
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    return [_finite(value) for value in content] if isinstance(content, list | tuple) else content
