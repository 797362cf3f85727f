"""HTML of the page from the templates in `templates/`. Whatever is put into one is escaped there."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from skinapp.words import percent

STATIC = Path(__file__).with_name("static")

_environment = Environment(
    loader=PackageLoader("skinapp.page"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters["percent"] = percent


def render(name: str, **values: Any) -> str:
    """The template `name`.html with these values. No line of it ends before a percent sign."""
    return Markup(_environment.get_template(f"{name}.html").render(**values).replace(" %", "&nbsp;%"))


def script(name: str) -> str:
    """The script `name`.js of the page."""
    return (STATIC / f"{name}.js").read_text(encoding="utf-8")
