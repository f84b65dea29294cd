"""A browser of the page without a browser: sends what the renderer sends, and anything else."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

LOCAL = {"Host": "127.0.0.1:8050"}
USUAL: dict[str, Any] = {
    **{"address.search": "", "cost.value": "multi_adds", "quality.value": "psnr_db", "view.value": "front"},
    **{"table.value": "networks", "low.value": "", "high.value": ""},
    **{f"{name}.value": [] for name in ("others", "filters", "columns")},
    **{f"{name}.data": [] for name in ("chosen", "picked", "opened")},
    "grid.getRowsRequest": {"startRow": 0, "endRow": 50, "filterModel": {}, "sortModel": []},
}


class PageClient:
    """Holds the properties of one page as a browser does; `client` is a test client of Flask's."""

    def __init__(self, client: Any) -> None:
        self.client = client
        listed = client.get("/_dash-dependencies", headers=LOCAL).get_json()
        self.callbacks = {each["output"]: each for each in listed if not each["clientside_function"]}
        self.values = copy.deepcopy(USUAL)

    def output(self, part: str) -> str:
        """The output of the callback that sets the property `part`."""
        return next(name for name in self.callbacks if part in name.strip(".").split("..."))

    def body(self, part: str, changed: str | None = None) -> dict[str, Any]:
        """What the renderer sends to have the property `part` set."""
        callback = self.callbacks[self.output(part)]
        names = callback["output"].strip(".").split("...")
        outputs = [dict(zip(("id", "property"), name.rsplit(".", 1), strict=True)) for name in names]
        return {
            "output": callback["output"],
            "outputs": outputs if callback["output"].startswith("..") else outputs[0],
            "inputs": [self._filled(each) for each in callback["inputs"]],
            "state": [self._filled(each) for each in callback["state"]],
            "changedPropIds": [] if changed is None else [changed],
        }

    def _filled(self, part: Mapping[str, str]) -> dict[str, Any]:
        name = f"{part['id']}.{part['property']}"
        return {"id": part["id"], "property": part["property"], "value": self.values.get(name)}

    def post(self, body: Any) -> Any:
        """The answer to any JSON value, or to bytes as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.post(
            "/_dash-update-component", headers=LOCAL, data=data, content_type="application/json"
        )

    def update(self, part: str, changed: str | None = None) -> int:
        """Has `part` set and keeps what was answered; the status."""
        answer = self.post(self.body(part, changed))
        if answer.status_code == 200:
            for id, properties in answer.get_json()["response"].items():
                self.values |= {f"{id}.{name}": value for name, value in properties.items()}
        return int(answer.status_code)

    def first_view(self, study: str = "x4-300k") -> None:
        """Asks for all that a page needs until its figure and its table are there."""
        self.values["address.search"] = f"?study={study}"
        for part in ("stamp.data", "figure.figure", "grid.columnDefs", "grid.getRowsResponse"):
            status = self.update(part)
            assert status == 200, (part, status)
