"""Which network a word means: a published name, a genotype's id or file, or anybody's ``module:function``."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from leaderboard.store import Store
from leaderboard.untrusted import UntrustedError, parse_json, parse_toml, read_text
from nas.cost.budget import Cost
from nas.cost.counting import cost_of, measure
from nas.errors import RecipeError, unknown
from search_spaces import Genotype, SpaceError, load_space
from search_spaces.published import PUBLISHED, Published


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A network that can be built at a scale, and where it was found; None for what it does not have."""

    name: str
    source: str
    build: Callable[[int], nn.Module]
    genotype: Genotype | None = None
    published: Published | None = None

    def genotype_at(self, scale: int) -> Genotype | None:
        """Its genotype at ``scale``, which for some published networks depends on it."""
        return self.genotype if self.published is None else self.published.genotype_at(scale)

    def cost(self, scale: int) -> Cost:
        """What it costs for an output of 1280x720."""
        genotype = self.genotype_at(scale)
        if genotype is not None:
            return cost_of(genotype, scale)
        return measure(lambda: self.build(scale), scale)


def find_architecture(
    word: str, open_store: Callable[[], AbstractContextManager[Store]] | None = None
) -> Architecture:
    """The architecture that ``word`` means.

    A published name; a ``.json`` or ``.toml`` file; ``module:function``, where the function takes a scale (or
    nothing) and returns a network; an id, or its beginning, from the database that ``open_store`` opens.
    Raises RecipeError that names the nearest published network.
    """
    if word in PUBLISHED:
        entry = PUBLISHED[word]
        return Architecture(
            name=word, source=entry.source, build=entry.build, genotype=entry.genotype, published=entry
        )
    path = Path(word)
    if path.suffix in (".json", ".toml"):
        return _of_genotype(path.stem, str(path), read_genotype(path))
    if ":" in word:
        return Architecture(name=word, source="imported", build=import_builder(word))
    found = []
    if open_store is not None:
        with open_store() as store:
            found = store.find_genotype(word)
    if len(found) > 1:
        raise RecipeError(f"genotype id {word!r} is the beginning of {len(found)}: {_some_ids(found)}")
    if not found:
        allowed = [*PUBLISHED, "a genotype's id", "FILE.json", "FILE.toml", "MODULE:FUNCTION"]
        raise unknown("architecture", word, allowed)
    id, space, choices = found[0]
    return _of_genotype(
        id, "results database", load_space(space, named_by="the results database").from_dict(choices)
    )


def import_builder(word: str) -> Callable[[int], nn.Module]:
    """The function or class behind ``module:name``, looked for in the working folder too.

    Raises RecipeError where it cannot be imported or called.
    """
    module_name, _, name = word.partition(":")
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        made = getattr(importlib.import_module(module_name), name)
        takes_scale = bool(inspect.signature(made).parameters)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise RecipeError(f"{word}: cannot be imported ({error})") from error
    finally:
        sys.path.remove(folder)

    def build(scale: int) -> nn.Module:
        network = made(scale) if takes_scale else made()
        if not isinstance(network, nn.Module):
            raise RecipeError(f"{word} returned {type(network).__name__}, not a torch.nn.Module")
        return network

    return build


def read_genotype(path: Path) -> Genotype:
    """The genotype of a file: its choices, and ``space`` where it is not ``lightweight``.

    Raises RecipeError that begins with the file's name.
    """
    try:
        text = read_text(path)
        table: Any = parse_json(text) if path.suffix == ".json" else parse_toml(text)
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UntrustedError as error:
        raise RecipeError(f"{path}: {error}") from error
    if not isinstance(table, dict):
        raise RecipeError(f"{path}: a genotype is a table of choices, not {type(table).__name__}")
    choices = dict(table)
    try:
        return load_space(str(choices.pop("space", "lightweight"))).from_dict(choices)
    except SpaceError as error:
        raise RecipeError(f"{path}: {error}") from None


def _of_genotype(name: str, source: str, genotype: Genotype) -> Architecture:
    return Architecture(name=name, source=source, build=genotype.build, genotype=genotype)


def _some_ids(found: list[tuple[str, str, dict[str, Any]]]) -> str:
    ids = [id for id, _, _ in found]
    return ", ".join(ids[:5]) + (", ..." if len(ids) > 5 else "")
