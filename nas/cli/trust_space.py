"""``nas trust-space``: the spaces outside ParetoSR that files and databases may name."""

from __future__ import annotations

from typing import Annotated

import typer


def trust_space(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A module of yours; without it, list all.")
    ] = None,
    remove: Annotated[
        str | None, typer.Option("--remove", metavar="NAME", help="Take a module from the list.")
    ] = None,
) -> None:
    """Trust a space of your own: files and databases that name it may then import its module.

    Runs that use it need no --space from then on. The list lies in the cache folder (NAS_CACHE).
    """
    from nas.core.trusted_spaces import read_trusted, trusted_file, write_trusted
    from nas.errors import RecipeError, unknown
    from search_spaces import OWN_MODULES, SPACE_NAME, SPACES

    if name is not None and remove is not None:
        raise RecipeError(f"{name} and --remove {remove}: one of them")
    word = name if remove is None else remove
    file, trusted = trusted_file(), read_trusted()
    if word is None:
        typer.echo("\n".join(trusted) or "No space is trusted; nas trust-space NAME adds one.")
        return
    if SPACE_NAME.fullmatch(word) is None:
        raise RecipeError(f"space {word!r:.80}: a module is needed, as my_lab.my_space")
    module = word.partition(":")[0]
    if remove is not None:
        if module not in trusted:
            raise unknown("trusted space", module, trusted or ["none yet"])
        write_trusted([each for each in trusted if each != module])
        typer.echo(f"{module} is no longer trusted ({file})")
        return
    if module in SPACES or module in OWN_MODULES:
        raise RecipeError(f"space {module!r} is ParetoSR's own: it needs no trust")
    write_trusted([*trusted, module])
    typer.echo(f"{module} is imported from now on where a file or a database names it ({file})")
