"""``nas trust-space``: the spaces outside ParetoSR that files and databases may name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from search_spaces import TrustedModule


def trust_space(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A module of yours; without it, list all.")
    ] = None,
    remove: Annotated[
        str | None, typer.Option("--remove", metavar="NAME", help="Take a module from the list.")
    ] = None,
) -> None:
    """Trust a space of your own: files and databases that name it may then import its module.

    Runs that use it need no --space from then on. A file in the current folder is trusted in this folder
    alone, and found from every other one. The list lies in the cache folder (NAS_CACHE).
    """
    from nas.core.trusted_spaces import read_trusted, trusted_file, write_trusted
    from nas.errors import RecipeError, unknown
    from search_spaces import OWN_MODULES, SPACE_NAME, SPACES

    if name is not None and remove is not None:
        raise RecipeError(f"{name} and --remove {remove}: one of them")
    word = name if remove is None else remove
    file, trusted = trusted_file(), read_trusted()
    if word is None:
        lines = [f"{each.name}  {each.folder}".rstrip() for each in trusted]
        typer.echo("\n".join(lines) or "No space is trusted; nas trust-space NAME adds one.")
        return
    if SPACE_NAME.fullmatch(word) is None:
        raise RecipeError(f"space {word!r:.80}: a module is needed, as my_lab.my_space")
    module = word.partition(":")[0]
    others = [each for each in trusted if each.name != module]
    if remove is not None:
        if others == trusted:
            raise unknown("trusted space", module, [each.name for each in trusted] or ["none yet"])
        write_trusted(others)
        typer.echo(f"{module} is no longer trusted ({file})")
        return
    if module in SPACES or module in OWN_MODULES:
        raise RecipeError(f"space {module!r} is ParetoSR's own: it needs no trust")
    place = _place_of(module)
    write_trusted([*others, place])
    where = f" from {place.folder}" if place.folder else ""
    typer.echo(f"{module} is imported{where} from now on where a file or a database names it ({file})")


def _place_of(module: str) -> TrustedModule:
    """Where a module is. Raises RecipeError where it is nowhere, or its folder is no line of the list."""
    from pathlib import Path

    from nas.errors import RecipeError
    from search_spaces.trusted import locate

    place = locate(module)
    if place is None:
        raise RecipeError(
            f"space {module!r} is neither installed nor a file in {Path.cwd()}: "
            "install it, or give this command in the folder of its file"
        )
    if len(place.folder.splitlines()) > 1 or not place.folder.isprintable():
        raise RecipeError(f"folder {place.folder!r}: a name of printable characters is needed to trust it")
    return place
