"""Which network a word means: a published name, a genotype's id, or a genotype file."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leaderboard.store import Store
from nas.errors import RecipeError, unknown
from search_spaces import Genotype, SpaceError, load_space
from search_spaces.published import PUBLISHED


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A network that can be built, and where it was found."""

    name: str
    genotype: Genotype
    source: str


def find_architecture(word: str, open_store: Callable[[], Store] | None = None) -> Architecture:
    """The architecture that ``word`` means: a published name, a ``.json`` or ``.toml`` file, or an id.

    An id, or its beginning, is looked up in the database that ``open_store`` opens. Raises RecipeError that
    names the nearest published network.
    """
    if word in PUBLISHED:
        return Architecture(name=word, genotype=PUBLISHED[word].genotype, source=PUBLISHED[word].source)
    path = Path(word)
    if path.suffix in (".json", ".toml"):
        return Architecture(name=path.stem, genotype=read_genotype(path), source=str(path))
    found = []
    if open_store is not None:
        with open_store() as store:
            found = store.find_genotype(word)
    if len(found) > 1:
        raise RecipeError(f"genotype id {word!r} is the beginning of {len(found)}: {_some_ids(found)}")
    if not found:
        raise unknown("architecture", word, [*PUBLISHED, "a genotype's id", "FILE.json", "FILE.toml"])
    id, space, choices = found[0]
    return Architecture(name=id, genotype=load_space(space).from_dict(choices), source="results database")


def read_genotype(path: Path) -> Genotype:
    """The genotype of a file: its choices, and ``space`` where it is not ``lightweight``.

    Raises RecipeError that begins with the file's name.
    """
    try:
        text = path.read_text(encoding="utf-8")
        table: Any = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise RecipeError(f"{path}: is no {path.suffix[1:].upper()} ({error})") from error
    if not isinstance(table, dict):
        raise RecipeError(f"{path}: a genotype is a table of choices, not {type(table).__name__}")
    choices = dict(table)
    try:
        return load_space(str(choices.pop("space", "lightweight"))).from_dict(choices)
    except SpaceError as error:
        raise RecipeError(f"{path}: {error}") from None


def _some_ids(found: list[tuple[str, str, dict[str, Any]]]) -> str:
    ids = [id for id, _, _ in found]
    return ", ".join(ids[:5]) + (", ..." if len(ids) > 5 else "")
