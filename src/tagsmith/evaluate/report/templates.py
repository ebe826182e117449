"""The templates of the pages: text is escaped, a name that is not given is an error."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from tagsmith.core.errors import counted
from tagsmith.evaluate.report import assets
from tagsmith.evaluate.report.wording import chance, figure, interval, percent, points, signed_points


def environment() -> Environment:
    """Where the pages find their templates and filters."""
    found = Environment(
        loader=PackageLoader("tagsmith.evaluate.report", "static"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"percent": percent, "interval": interval, "counted": counted, "points": points, "figure": figure}
    found.filters |= {"chance": chance}
    found.filters |= {"signed": signed_points, "json": assets.json_text, "breakable": assets.breakable}
    return found
