"""The templates of the pages: text is escaped, an undefined name is an error."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from tagsmith.core.errors import counted
from tagsmith.evaluate.report import assets
from tagsmith.evaluate.report.wording import chance, figure, interval, percent, points, signed_nats, signed_points


def environment() -> Environment:
    """The environment with the templates and filters of the pages."""
    found = Environment(
        loader=PackageLoader("tagsmith.evaluate.report", "static"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"percent": percent, "interval": interval, "counted": counted, "points": points, "figure": figure}
    found.filters |= {"chance": chance}
    found.filters |= {
        "signed": signed_points,
        "signed_nats": signed_nats,
        "json": assets.json_text,
        "breakable": assets.breakable,
    }
    return found
