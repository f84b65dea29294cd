"""Components as the text of a page, for pages that no application fills; everything is escaped."""

from __future__ import annotations

import html
from typing import Any

VOID = {"img", "br", "hr", "meta", "link"}
ATTRIBUTES = {
    **{name: name for name in ("id", "src", "alt", "title", "href", "value", "min", "max", "role", "scope")},
    **{"className": "class", "tabIndex": "tabindex", "htmlFor": "for", "open": "open", "hidden": "hidden"},
}


def markup(node: Any) -> str:
    """The HTML of a component of `dash.html`, of a list of them, or of plain text (escaped).

    Raises ValueError for an attribute that is not known to be harmless: styles and handlers are not.
    """
    if node is None:
        return ""
    if isinstance(node, list | tuple):
        return "".join(markup(each) for each in node)
    if not hasattr(node, "to_plotly_json"):
        return html.escape(str(node))
    made = node.to_plotly_json()
    tag, properties = str(made["type"]).lower(), dict(made["props"])
    children = properties.pop("children", None)
    attributes = "".join(_attribute(name, value) for name, value in properties.items())
    if tag in VOID:
        return f"<{tag}{attributes}>"
    return f"<{tag}{attributes}>{markup(children)}</{tag}>"


def _attribute(name: str, value: Any) -> str:
    if value is None or value is False or value == "":
        return ' alt=""' if name == "alt" else ""
    known = ATTRIBUTES.get(name, name if name.startswith("aria-") else None)
    if known is None:
        raise ValueError(f"no attribute for a static page: {name!r}")
    return f" {known}" if value is True else f' {known}="{html.escape(str(value))}"'
