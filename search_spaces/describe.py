"""Spaces in words and drawings, made from the code: ``python -m search_spaces.describe docs/spaces.md``.

The command rewrites what stands between the markers of that page; a test fails while the page is behind. To
add a section, put a function in SECTIONS and its two markers in the page.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from search_spaces.genotype import Axis, Genotype, Space
from search_spaces.lightweight import Lightweight
from search_spaces.published import PUBLISHED, Printed

EXAMPLE = Lightweight(
    width=32,
    blocks=4,
    block="acdm",
    depth=3,
    share=0.25,
    kernel="3x3",
    sharing="interval",
    aggregation="dense",
    transformers=2,
    order="serial",
    transformer="channel",
    heads=4,
    mlp_ratio=2,
    transformer_dense=True,
    shallow_tail=True,
)
"""What the page draws: the skeleton of EFRDN as the composed space has it, with channel attention."""


def axes_table(genotype: type[Genotype]) -> str:
    """One row per axis: its options, when it applies and what it means, as a Markdown table."""
    rows = ["| axis | options | applies | what it is |", "|---|---|---|---|"]
    rows += [f"| `{a.name}` | {_options(a)} | {_when(a)} | {a.doc} |" for a in genotype.axes()]
    return "\n".join(rows)


def options_tables(genotype: type[Genotype]) -> str:
    """For every axis with a table: each option with its source, as its own docstring has it."""
    tables: Mapping[str, Mapping[str, object]] = getattr(genotype, "tables", {})
    sections = []
    for name, table in tables.items():
        rows = [f"### `{name}`", "", "| option | what it is, and its source |", "|---|---|"]
        rows += [f"| `{option}` | {_said_by(value)} |" for option, value in table.items()]
        sections.append("\n".join(rows))
    return "\n\n".join(sections)


def published_table() -> str:
    """The published networks: where each is built, and its rows of costs."""
    rows = ["| network | built as | scale | params | Multi-Adds | source |", "|---|---|---|---|---|---|"]
    for name, network in PUBLISHED.items():
        built = f"point of `{network.genotype.space}`" if network.genotype else "network of its own"
        kinds = (("printed", network.printed), ("counted", network.counted))
        costs = [(scale, kind, row) for kind, known in kinds for scale, row in known.items()]
        told = [f"x{s} {kind} | {_row(row)}" for s, kind, row in sorted(costs, key=lambda cost: cost[:2])]
        rows += [f"| `{name}` | {built} | {cost} | {network.source} |" for cost in told or [" | | "]]
    return "\n".join(rows)


def count_line(genotype: type[Genotype]) -> str:
    """How many different architectures a space has, as a sentence."""
    return f"`{genotype.space}` has {Space(genotype).count():,} different architectures at each scale."


def draw(genotype: Lightweight) -> str:
    """The network as a Mermaid flowchart; nodes stand in the order in which the network runs them.

    A part's node is called by its name in the network, with the use counted where weights are shared.
    """
    lines = [
        "flowchart TB",
        "  image[/input/]",
        f"  stem[{genotype.stem} stem]",
        "  image --> stem",
    ]
    features = _draw_blocks(genotype, lines)
    if genotype.order == "parallel":
        beside = _draw_transformers(genotype, lines, "stem")
        features = _add(lines, "sum", features, beside, "stem")
    else:
        features = _add(lines, "sum", features, "stem")
        if genotype.order == "serial":
            features = _draw_transformers(genotype, lines, features)
    lines += [f"  tail[{genotype.tail}]", f"  {_word(features)} --> tail"]
    ends = ["tail"]
    if genotype.shallow_tail:
        lines += [f"  shallow_tail[{genotype.tail}]", "  stem --> shallow_tail"]
        ends.append("shallow_tail")
    if genotype.skip != "none":
        lines += [f"  skip([{genotype.skip}])", "  image --> skip"]
        ends.append("skip")
    last = _add(lines, "result", *ends) if len(ends) > 1 else ends[0]
    return "\n".join([*lines, "  output[/output/]", f"  {last} --> output"])


def _draw_blocks(genotype: Lightweight, lines: list[str]) -> str:
    wiring = genotype.wiring()
    features, made = "stem", ["stem"]
    for position, weights in enumerate(genotype.weights_of_blocks()):
        if wiring.dense and position:
            features = _join(lines, f"mean_{position}", "mean", made)
        node = f"blocks.{weights}#{position + 1}"
        lines += [f'  {_word(node)}["{genotype.block}, weights {weights + 1}"]']
        lines += [f"  {_word(features)} --> {_word(node)}"]
        features = node
        if genotype.order == "interleaved":
            for index, place in enumerate(wiring.places):
                if place == position:
                    features = _draw_transformer(genotype, lines, index, features)
        made.append(features)
    if wiring.dense:
        features = _join(lines, "mean_all", "mean", made)
    elif wiring.collects:
        features = _join(lines, "all", "concatenate", made[1:])
    if wiring.ends:
        lines += [f"  end_part[{genotype.aggregation}]", f"  {_word(features)} --> end_part"]
        features = "end_part"
    return features


def _draw_transformers(genotype: Lightweight, lines: list[str], features: str) -> str:
    made = [features]
    for index in range(genotype.transformers):
        if genotype.transformer_dense and index:
            features = _join(lines, f"mean_t{index}", "mean", made)
        features = _draw_transformer(genotype, lines, index, features)
        made.append(features)
    return _join(lines, "mean_transformers", "mean", made) if genotype.transformer_dense else features


def _draw_transformer(genotype: Lightweight, lines: list[str], index: int, features: str) -> str:
    node = f"transformers.{index}"
    lines += [f'  {_word(node)}["{genotype.transformer} transformer"]']
    lines += [f"  {_word(features)} --> {_word(node)}"]
    return node


def _add(lines: list[str], node: str, *sources: str) -> str:
    return _join(lines, node, "+", list(sources))


def _join(lines: list[str], node: str, label: str, sources: list[str]) -> str:
    lines += [f'  {node}(("{label}"))', *(f"  {_word(source)} --> {node}" for source in sources)]
    return node


def _word(node: str) -> str:
    """A name that Mermaid takes."""
    return node.replace(".", "_").replace("#", "_")


def _options(axis: Axis) -> str:
    if axis.step is not None and len(axis.options) > 4:
        step = f" in steps of {axis.step}" if axis.step > 1 else ""
        return f"{axis.options[0]} to {axis.options[-1]}{step}"
    return ", ".join(f"`{option}`" for option in axis.options)


def _when(axis: Axis) -> str:
    told = [f"`{name}` is {_any_of(options)}" for name, options in axis.when.items()]
    for option, (other, when) in axis.same.items():
        under = " and ".join(f"`{name}` is {_any_of(options)}" for name, options in when.items())
        told.append(f"`{option}` means `{other}` where {under}")
    return "; ".join(told) or "always"


def _any_of(options: tuple[object, ...]) -> str:
    if len(options) > 2 and all(isinstance(option, int) for option in options):
        return f"{options[0]} to {options[-1]}"
    return " or ".join(str(option) for option in options)


def _said_by(value: object) -> str:
    """The first paragraph of an option's own words, and the one after it where that holds the source."""
    if value is None:
        return "The null option."
    text = value if isinstance(value, str) else getattr(value, "doc", None) or value.__doc__ or ""
    paragraphs = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
    source = [p for p in paragraphs[1:2] if p.startswith("(")]
    words = re.sub(r":\w+:`", "`", " ".join([*paragraphs[:1], *source]))
    return words.replace("``", "`").replace("|", "\\|")


def _row(row: Printed) -> str:
    multi_adds = f"{row.multi_adds / 1e9:.1f} G" if row.multi_adds else ""
    kind = " (convolutions only)" * row.conv_only
    return f"{row.params / 1e3:.1f} K{' in training' * row.in_training} | {multi_adds}{kind}"


SECTIONS: dict[str, Callable[[], str]] = {
    "count": lambda: count_line(Lightweight),
    "axes": lambda: axes_table(Lightweight),
    "options": lambda: options_tables(Lightweight),
    "published": published_table,
    "drawing": lambda: f"```mermaid\n{draw(EXAMPLE)}\n```",
}
"""What the page's markers stand for: ``<!-- made: NAME -->`` up to ``<!-- end: NAME -->``."""


def renew(page: str) -> str:
    """``page`` with every section between markers made anew. Raises ValueError where a marker is missing."""
    for name, make in SECTIONS.items():
        begin, end = f"<!-- made: {name} -->", f"<!-- end: {name} -->"
        found = re.search(f"{re.escape(begin)}.*?{re.escape(end)}", page, flags=re.DOTALL)
        if found is None:
            raise ValueError(f"the page has no section {name!r} between {begin} and {end}")
        page = page[: found.start()] + f"{begin}\n{make()}\n{end}" + page[found.end() :]
    return page


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(renew(path.read_text(encoding="utf-8")), encoding="utf-8")
