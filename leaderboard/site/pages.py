"""The pages of the static site: a list of studies, and of each its views, its front and its networks."""

from __future__ import annotations

import html as text
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from dash import html

from leaderboard.crops import CropImage
from leaderboard.page.detail import protocol_facts, sections, trust_of
from leaderboard.page.network_data import gather, retrain_command
from leaderboard.page.parts import aria, table
from leaderboard.page.plain import drawn_plainly
from leaderboard.site.markup import markup
from leaderboard.sources import draw
from leaderboard.store import Store
from leaderboard.store.records import Study
from leaderboard.tables.front import HEADINGS, for_people, front_frame, main_protocol, named_words, networks
from leaderboard.tables.tuning import is_tuning
from leaderboard.views import VIEWS, Show, budget_of

# Besides 'self', file: is named because browsers disagree on what 'self' is for a page opened from a folder.
POLICY = (
    "default-src 'none'; script-src 'self' file:; style-src 'self' file: 'unsafe-inline'; "
    "img-src 'self' file: data: blob:; base-uri 'none'; form-action 'none'"
)
MOST_DETAILS = 24
"""How many networks of a front are described each by itself: the best ones."""
RETRAINED = ("genotype", "psnr_db", "ssim", "gain_db", "params", "multi_adds", "seeds", "words")


@dataclass(frozen=True, kw_only=True)
class StudyPage:
    """A written page of one study, with the files that it needs beside it."""

    study: str
    file: str
    script: str
    text: str
    figures: Mapping[str, go.Figure]
    pictures: Mapping[str, bytes]
    networks: int
    best: str
    protocol: str


@dataclass(kw_only=True)
class _Draft:
    """A page while it is made: figures by the id of their place, pictures by their file."""

    number: int
    options: str = ""
    figures: dict[str, go.Figure] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)

    def place(self, name: str, figure: go.Figure, *, small: bool = False) -> html.Div:
        """Where a figure will be drawn."""
        self.figures[name] = drawn_plainly(figure)
        return html.Div(id=name, className="figure small" if small else "figure")

    def picture(self, picture: CropImage) -> str:
        """The address of a copy of a picture, beside the page."""
        name = f"pictures/{self.number}-{len(self.pictures)}.png"
        self.pictures[name] = picture.file.read_bytes()
        return name


def study_page(
    store: Store, study: str, number: int, *, runs: Path | None, options: str, index: bool
) -> StudyPage:
    """The page of `study`; `index` leads back to a list. Raises `UnknownStudyError`."""
    found = store.study(study)
    frame = store.frame(study)
    main = main_protocol(frame)
    show = Show(study=study, protocol=main, budget=budget_of(found.recipe))
    draft = _Draft(number=number, options=options)
    front = front_frame(frame, study, main)
    script = f"figures-{number}.js"
    parts: list[Any] = [_heading(study, frame, index)]
    if main is not None:
        trust = store.calibrations().get(main)
        told = [] if trust is None else [html.P(trust_of(trust))]
        parts.append(_card("How the numbers were made", protocol_facts(store.protocol(main)), *told))
    parts.append(_card("Networks on the front", _table(front), _commands(found, options), name="networks"))
    views = _views(store, show, draft)
    parts[2:2] = views[:1]
    parts += _retrained(store, show, frame, draft)
    parts += views[1:]
    parts += _details(store, show, front, draft, runs)
    best = "-" if front.empty else f"{front['psnr_db'].max():.2f} dB"
    return StudyPage(
        study=study,
        file=f"study-{number}.html",
        script=script,
        text=page_text(study, parts, [script]),
        figures=draft.figures,
        pictures=draft.pictures,
        networks=int(frame.loc[frame["psnr_db"].notna(), "genotype"].nunique()),
        best=best,
        protocol="none yet" if main is None else main,
    )


def overview(pages: Sequence[StudyPage]) -> str:
    """The list of studies, as a page."""
    rows = [
        [html.A(page.study, href=page.file), page.protocol, str(page.networks), page.best] for page in pages
    ]
    headings = ["Study", "Protocol", "Networks measured", "Best on its front"]
    body = (
        table(headings, rows, text=2) if rows else html.P("No search has been started yet.", className="soft")
    )
    note = html.P("Numbers of unlike protocols cannot be compared.", className="soft")
    return page_text("Leaderboard", [html.H1("ParetoSR leaderboard"), _card("Studies", body, note)], [])


def _heading(study: str, frame: pd.DataFrame, index: bool) -> html.Header:
    states = frame[frame["stage"] == "search"]["state"].value_counts()
    counted = ", ".join(f"{count} {state}" for state, count in states.items()) or "none yet"
    back = [html.P(html.A("All studies", href="index.html"))] if index else []
    about = f"Lightweight super-resolution networks. Proposals: {counted}."
    return html.Header([*back, html.H1(study), html.P(about, className="soft")])


def _card(heading: str, *body: Any, name: str | None = None) -> html.Section:
    inside = [html.H2(heading), *body]
    if name is None:
        return html.Section(inside, className="card")
    return html.Section(inside, className="card", id=name)


def _commands(study: Study, options: str) -> html.Div:
    command, about = (
        f"nas retrain {shlex.quote(study.name)} --top 1",
        "To re-train the best with the full schedule:",
    )
    if is_tuning(study.recipe):
        command, about = f"nas tune {shlex.quote(study.name)} --show", "To print the settings, best first:"
    return html.Div([html.P(about), html.Pre(html.Code(f"{command} {options}".rstrip()))])


def _views(store: Store, show: Show, draft: _Draft) -> list[html.Section]:
    """A section for each view that has something to show."""
    found = []
    for name, view in VIEWS.items():
        figure = draw(store, show, name)
        if len(figure.data):
            about = html.P(view.about, className="soft")
            found.append(_card(view.title, about, draft.place(name, figure), name=f"view-{name}"))
    return found


def _retrained(store: Store, show: Show, frame: pd.DataFrame, draft: _Draft) -> list[html.Section]:
    """A section for each protocol of re-trainings: another protocol is another front."""
    rows = frame[(frame["stage"] == "retrain") & frame["psnr_db"].notna()]
    found = []
    for number, protocol in enumerate(name for name in rows["protocol"].unique() if name != show.protocol):
        again = Show(study=show.study, protocol=str(protocol), budget=show.budget)
        shown = networks(frame, show.study, str(protocol)).sort_values("psnr_db", ascending=False)
        shown["words"] = named_words(shown)
        found.append(
            _card(
                "Re-trained",
                protocol_facts(store.protocol(str(protocol))),
                draft.place(f"retrained-{number}", draw(store, again, "front")),
                _table(shown[list(RETRAINED)]),
            )
        )
    return found


def _details(
    store: Store, show: Show, front: pd.DataFrame, draft: _Draft, runs: Path | None
) -> list[html.Section]:
    """The best networks of the front, each in a part that opens."""
    shown = front.sort_values("psnr_db", ascending=False).head(MOST_DETAILS)
    if shown.empty:
        return []
    opened = [_detail(store, show, str(name), draft, runs) for name in shown["genotype"]]
    note = [] if len(shown) == len(front) else [html.P(f"The best {len(shown)} of {len(front)}.")]
    return [_card("Networks", *note, *opened, name="details")]


def _detail(store: Store, show: Show, genotype: str, draft: _Draft, runs: Path | None) -> html.Details:
    network = gather(store, runs, show.study, genotype, show.protocol)
    curve: Any = html.P("There is no view of loss curves.", className="soft")
    if "curves" in VIEWS:
        one = Show(study=show.study, protocol=show.protocol, genotypes=(genotype,))
        curve = draft.place(f"curves-{len(draft.figures)}", draw(store, one, "curves"), small=True)
    summary = f"{genotype}{f' ({network.name})' if network.name else ''}"
    command = html.Pre(html.Code(retrain_command(show.study, [genotype], draft.options)))
    body = sections(network, draft.picture, curve, draft.options)
    return html.Details([html.Summary(summary), *body, html.H3("To re-train it"), command])


def _table(frame: pd.DataFrame) -> Any:
    if frame.empty:
        return html.P("None yet.", className="soft")
    shown = for_people(frame)
    kinds = ["text" if name in (HEADINGS["genotype"], HEADINGS["words"]) else "" for name in shown]

    def row(cell: Any, values: Sequence[str]) -> html.Tr:
        return html.Tr([cell(value, className=kind) for kind, value in zip(kinds, values, strict=True)])

    body = [row(html.Td, list(cells)) for cells in shown.itertuples(index=False)]
    inner = html.Table([html.Thead(row(html.Th, list(shown.columns))), html.Tbody(body)])
    return html.Div(inner, className="scroll", tabIndex="0", role="region", **aria(label="Networks"))


def page_text(title: str, parts: Sequence[Any], scripts: Sequence[str]) -> str:
    """A whole page with these parts, that runs these scripts of its folder."""
    body = "\n".join(markup(part) for part in parts)
    drawn = ["plotly.min.js", *scripts, "site.js"] if scripts else []
    lines = "\n".join(f'<script src="{text.escape(name)}"></script>' for name in drawn)
    return f"""<!DOCTYPE html>
<html lang="en" class="site">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{text.escape(POLICY)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{text.escape(title)} - ParetoSR</title>
<link rel="stylesheet" href="page.css">
</head>
<body>
<main class="page">
{body}
<noscript><p class="soft">The figures need JavaScript; the tables do not.</p></noscript>
<footer class="soft">Made with ParetoSR. Networks are compared only under the same protocol.</footer>
</main>
{lines}
</body>
</html>
"""
