"""The results of one study as a folder that opens in a browser without any network."""

from __future__ import annotations

import html
import json
import shlex
import shutil
import tempfile
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from leaderboard.errors import LeaderboardError
from leaderboard.store import Protocol, Store, Study
from leaderboard.tables import HEADINGS, for_people, front_frame, main_protocol, networks
from leaderboard.views import SETTINGS, VIEWS, Show, budget_of

MARKER = ".paretosr-site"
ASSETS = Path(__file__).parent / "assets"
# Besides 'self', file: is named because browsers disagree on what 'self' is for a page opened from a folder.
POLICY = (
    "default-src 'none'; script-src 'self' file:; style-src 'self' file: 'unsafe-inline'; "
    "img-src 'self' file: data: blob:; base-uri 'none'; form-action 'none'"
)
METRICS: dict[str, str] = {
    "y_float": "PSNR and SSIM on the luma channel, not rounded",
    "y_uint8": "PSNR and SSIM on the luma channel, rounded to 8 bits",
    "rgb": "PSNR and SSIM on the three colour channels",
}


def write_site(frame_source: Store, study: str, folder: Path) -> Path:
    """Writes the page of `study` into `folder`, whole or not at all; returns the path of its index.html.

    A folder that this function wrote before, or an empty one, is replaced; any other raises
    `LeaderboardError`. Raises `UnknownStudyError` for an unknown study.
    """
    target = folder.resolve()
    _may_replace(target)
    found = frame_source.study(study)
    frame = frame_source.frame(study)
    main = main_protocol(frame)
    show = Show(study=study, protocol=main, budget=budget_of(found.recipe))
    figures = {name: view(frame, show) for name, view in VIEWS.items()}
    retrained = _retrained(frame, main)
    for number, protocol_id in enumerate(retrained):
        again = Show(study=study, protocol=protocol_id, budget=show.budget)
        figures[f"retrained-{number}"] = VIEWS["front"](frame, again)
    page = _page(frame_source, found, frame, main, retrained)
    files = {
        "index.html": page,
        "figures.js": _figures(figures),
        "plotly.min.js": get_plotlyjs(),
        "page.css": (ASSETS / "page.css").read_text("utf-8"),
        "site.js": (ASSETS / "site.js").read_text("utf-8"),
        MARKER: "Written by ParetoSR, which replaces this folder when it writes the page again.\n",
    }
    try:
        _swap_in(files, target)
    except OSError as error:
        raise LeaderboardError(f"{folder}: cannot be written ({error.strerror or error})") from error
    return folder / "index.html"


def _may_replace(target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise LeaderboardError(f"{target}: is a file; name a folder for the page")
    if target.is_dir() and not (target / MARKER).exists() and any(target.iterdir()):
        raise LeaderboardError(f"{target}: holds other files; name a new or an empty folder for the page")


def _swap_in(files: dict[str, str], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as beside:
        fresh, old = Path(beside) / "fresh", Path(beside) / "old"
        fresh.mkdir()
        for name, text in files.items():
            (fresh / name).write_text(text, encoding="utf-8")
        if target.exists():
            target.rename(old)
        try:
            fresh.rename(target)
        except OSError:
            if old.exists():
                shutil.move(old, target)
            raise


def _figures(figures: dict[str, go.Figure]) -> str:
    """A script rather than a JSON file: a page opened from a folder may not fetch."""
    drawn = ",\n".join(f'"{name}": {figure.to_json()}' for name, figure in figures.items())
    return f"window.SETTINGS = {json.dumps(SETTINGS)};\nwindow.FIGURES = {{\n{drawn}\n}};\n"


def _retrained(frame: pd.DataFrame, main: str | None) -> list[str]:
    rows = frame[(frame["stage"] == "retrain") & frame["psnr_db"].notna()]
    return [str(protocol) for protocol in rows["protocol"].unique() if protocol != main]


def _page(store: Store, study: Study, frame: pd.DataFrame, main: str | None, retrained: list[str]) -> str:
    states = frame[frame["stage"] == "search"]["state"].value_counts()
    counted = ", ".join(f"{count} {state}" for state, count in states.items()) or "none yet"
    command = f"nas retrain {shlex.quote(study.name)} --top 1"
    parts = [
        f"<h1>{_text(study.name)}</h1>",
        f'<p class="soft">Lightweight super-resolution networks. Proposals: {_text(counted)}.</p>',
    ]
    if main is not None:
        parts.append(_card("How the numbers were made", _facts(store.protocol(main))))
    parts.append(_card(None, '<div id="front" class="figure"></div>'))
    front = front_frame(frame, study.name, main)
    parts.append(
        _card(
            "Networks on the front",
            _table(front) + "<p></p><p>To re-train the best of them with the full schedule:</p>"
            f"<pre><code>{_text(command)}</code></pre>",
        )
    )
    for number, protocol_id in enumerate(retrained):
        rows = networks(frame, study.name, protocol_id).sort_values("psnr_db", ascending=False)
        columns = ["genotype", "psnr_db", "ssim", "gain_db", "params", "multi_adds", "seeds", "words"]
        body = (
            f"{_facts(store.protocol(protocol_id))}<p></p>"
            f'<div id="retrained-{number}" class="figure"></div>{_table(rows[columns])}'
        )
        parts.append(_card("Re-trained", body))
    parts.append(
        '<div class="pair">'
        + _card(None, '<div id="history" class="figure"></div>')
        + _card(None, '<div id="rejects" class="figure"></div>')
        + "</div>"
    )
    body = "\n".join(parts)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_text(POLICY)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{_text(study.name)} - ParetoSR</title>
<link rel="stylesheet" href="page.css">
</head>
<body>
<main class="page">
{body}
<noscript><p class="soft">The figures need JavaScript; the tables do not.</p></noscript>
<footer class="soft">Made with ParetoSR. Networks are compared only under the same protocol.</footer>
</main>
<script src="plotly.min.js"></script>
<script src="figures.js"></script>
<script src="site.js"></script>
</body>
</html>
"""


def _facts(protocol: Protocol) -> str:
    plan = ", ".join(f"{key} {value}" for key, value in protocol.plan.items())
    facts = {
        "Scale": f"x{protocol.scale}",
        "Training plan": f"{protocol.plan_name}{f' ({plan})' if plan else ''}",
        "Data": f"{protocol.data} (digest {protocol.data_digest})",
        "Metric": f"{protocol.metric}: {METRICS.get(protocol.metric, 'PSNR and SSIM')}",
        "Bicubic": f"{protocol.bicubic_psnr_db:.2f} dB, SSIM {protocol.bicubic_ssim:.4f}",
        "Protocol": protocol.id,
    }
    rows = "".join(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in facts.items())
    return f'<dl class="facts">{rows}</dl>'


def _card(heading: str | None, body: str) -> str:
    title = "" if heading is None else f"<h2>{_text(heading)}</h2>\n"
    return f'<section class="card">\n{title}{body}\n</section>'


def _table(frame: pd.DataFrame) -> str:
    if frame.empty:
        return '<p class="soft">None yet.</p>'
    shown = for_people(frame)
    kinds = ['class="text"' if name in (HEADINGS["genotype"], HEADINGS["words"]) else "" for name in shown]

    def row(tag: str, cells: list[str]) -> str:
        filled = (f"<{tag} {kind}>{_text(cell)}</{tag}>" for kind, cell in zip(kinds, cells, strict=True))
        return f"<tr>{''.join(filled)}</tr>"

    body = "\n".join(row("td", list(cells)) for cells in shown.itertuples(index=False))
    return (
        f'<div class="scroll"><table>\n<thead>{row("th", list(shown.columns))}</thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _text(value: object) -> str:
    return html.escape(str(value))
