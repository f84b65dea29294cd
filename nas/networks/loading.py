"""Networks with their weights: which one a word means, and whose weights a file holds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import torch
from torch import Tensor, nn

from leaderboard.store import Store
from nas.core.files import sha256_of
from nas.errors import CheckpointError, RecipeError, unknown
from nas.networks.pretrained import shipped_weights
from nas.networks.released.naming import plain_form, plain_name
from nas.networks.released.reading import (
    Released,
    convert,
    is_released_file,
    layout_of,
    read_released,
    read_tensors,
)
from nas.networks.resolving import Architecture, find_architecture
from nas.training.checkpoint import load_weights, put_weights
from search_spaces import Genotype, SpaceError, load_space
from search_spaces.published import PUBLISHED

BICUBIC = "bicubic"

SCALE = 4
"""Where neither a file nor a person says otherwise."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network with its weights; ``weights`` is their digest, ``source`` says where they come from.

    ``file_sha256`` is the digest of the file they were read from, None where there is none. ``origin`` says
    where released weights come from (family, source, sha256, folded); empty for others.
    """

    name: str
    source: str
    scale: int
    module: nn.Module
    genotype: Genotype | None = None
    weights: str = ""
    file_sha256: str | None = None
    origin: dict[str, Any] = field(default_factory=dict)


def load_network(
    word: str,
    *,
    scale: int | None,
    weights: Path | None,
    runs: Path,
    open_store: Callable[[], Store] | None,
    recorded: bool = False,
) -> Network:
    """The network that ``word`` means, with its weights.

    A ``.safetensors`` file of ours; a ``.pth`` that authors released (``nas.networks.released``); a run or a
    genotype's id, whose best weights the database knows (re-trained before searched); a published name or
    ``module:function``, with the file ``weights``, which the latter may do without, and so may the names
    whose weights are ``nas.networks.pretrained``. A name takes a released file of its network, too. ``scale``
    None takes the file's. ``recorded``: the word is an id that was read from the database, and neither a file
    nor code is looked for under it. Raises RecipeError or CheckpointError.
    """
    if recorded:
        if (known := _best_known(word, scale, runs, open_store)) is None:
            raise RecipeError(f"genotype {word!r:.80}: the database knows no weights of it")
        return known
    if word.endswith(".safetensors") or is_released_file(word):
        if weights is not None:
            raise RecipeError(f"{word} holds weights already; --weights {weights} is one too many")
        if is_released_file(word):
            return _of_released(Path(word), read_released(Path(word)), scale)
        return _of_file(Path(word), scale, word)
    if weights is None and ":" not in word:
        known = _best_known(word, scale, runs, open_store)
        if known is not None:
            return known
        if word in PUBLISHED:
            return _shipped(word, scale)
        names = [] if open_store is None else _names(open_store)
        allowed = [BICUBIC, *PUBLISHED, *names, "FILE.safetensors", "FILE.pth", "MODULE:FUNCTION"]
        raise unknown("network", word, allowed)
    found = find_architecture(word, open_store)
    released = None if weights is None else _released_for(found, weights, scale)
    if released is not None:
        return released
    at = scale or SCALE
    module = found.build(at)
    if weights is not None:
        put_weights(module, read_weights(weights), weights, f"{found.name} at x{at}")
    return Network(
        name=found.name,
        source=found.source if weights is None else str(weights),
        file_sha256=None if weights is None else sha256_of(weights),
        scale=at,
        module=module,
        genotype=found.genotype_at(at),
        weights=digest_weights(module),
    )


def checkpoint_path(runs: Path, checkpoint: str) -> Path:
    """The file of weights that the database names, relative to the runs folder.

    Raises CheckpointError for a path that leaves the folder, and for a file that is not of our format.
    """
    for path in (PurePosixPath(checkpoint), PureWindowsPath(checkpoint)):
        if path.anchor or ".." in path.parts:
            raise CheckpointError(
                f"{checkpoint!r:.200}: the database names a checkpoint outside the runs folder"
            )
    if not checkpoint.endswith(".safetensors"):
        raise CheckpointError(
            f"{checkpoint!r:.200}: the database names a checkpoint that is no .safetensors file"
        )
    return runs / checkpoint


def read_weights(path: Path) -> dict[str, Tensor]:
    """Weights of a ``.safetensors`` file, or of a ``.pth`` as the usual frameworks write it.

    In the latter averaged weights (``params_ema``) go before ``params`` and ``state_dict``. No code of the
    file is run. Raises CheckpointError.
    """
    if path.suffix == ".safetensors":
        return load_weights(path)[0]
    return read_tensors(path)


def digest_weights(module: nn.Module) -> str:
    """SHA-256 over all weights, by name."""
    total = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        total.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        total.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()[:16]


def _shipped(name: str, scale: int | None) -> Network:
    files = shipped_weights(name)
    if not files:
        raise RecipeError(f"{name} is published, but its weights are not here: give --weights FILE")
    at = scale or min(files)
    if at not in files:
        here = ", ".join(f"x{one}" for one in sorted(files))
        raise RecipeError(
            f"{name}: its weights are here for {here}, not for x{at}; --weights FILE gives others"
        )
    return _of_file(files[at], at, name)


def _of_released(path: Path, released: Released, scale: int | None) -> Network:
    """The network that a released file holds."""
    if scale not in (None, released.scale):
        raise RecipeError(f"{path}: holds {released.called()}, not x{scale}")
    module = released.build()
    return Network(
        name=released.name or released.genotype.id,
        source=f"{path}: {released.called()}",
        file_sha256=released.sha256,
        scale=released.scale,
        module=module,
        genotype=released.genotype,
        weights=digest_weights(module),
        origin=released.origin(),
    )


def _released_for(found: Architecture, path: Path, scale: int | None) -> Network | None:
    """The network of a released file that is given as weights of ``found``; None for a file of no layout.

    A network of somebody's own code takes a file as it is. Raises RecipeError for another network's file.
    """
    if found.genotype is None or not is_released_file(str(path)):
        return None
    tensors = read_tensors(path)
    if layout_of(tensors) is None:
        return None
    released = convert(path, tensors)
    genotype = found.genotype_at(released.scale)
    if genotype is None or plain_form(genotype).id != released.genotype.id:
        raise RecipeError(f"{path}: holds {released.called()}, not {found.name}")
    return _of_released(path, released, scale)


def _names(open_store: Callable[[], Store]) -> list[str]:
    with open_store() as store:
        return [study.name for study in store.studies()]


def _best_known(
    word: str, scale: int | None, runs: Path, open_store: Callable[[], Store] | None
) -> Network | None:
    """The best network of a run, or a genotype's best weights: the longer training counts before PSNR.

    Networks that a run did not search, its controls, are asked for by their ids.
    """
    if open_store is None or not word:
        return None
    with open_store() as store:
        frame = store.frame(columns=["study", "stage", "genotype", "scale", "psnr_db", "checkpoint"])
    mine = frame[frame["study"] == word]
    if mine.empty:
        ids = frame[frame["genotype"].astype(str).str.startswith(word)]
        mine = ids if ids["genotype"].nunique() == 1 else ids[ids["genotype"] == word]
    if mine.empty:
        return None
    kept = mine[mine["checkpoint"].notna()]
    candidates = kept["genotype"].isin(mine.loc[mine["stage"] == "search", "genotype"])
    if candidates.any():
        kept = kept[candidates]
    if scale is not None:
        kept = kept[kept["scale"] == scale]
    if kept.empty:
        at = "" if scale is None else f" at x{scale}"
        raise RecipeError(f"{word}: the database knows no weights of it{at}")
    longer = kept[kept["stage"] == "retrain"]
    best = (kept if longer.empty else longer).sort_values("psnr_db").iloc[-1]
    path = checkpoint_path(runs, str(best["checkpoint"]))
    return _of_file(path, scale, str(best["genotype"]))


def _of_file(path: Path, scale: int | None, name: str) -> Network:
    """The network that the header of a file of ours describes."""
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file")
    weights, about = load_weights(path)
    if "choices" not in about:
        raise CheckpointError(
            f"{path}: does not say which network it belongs to; give --weights {path} and the network's name"
        )
    if scale is not None and scale != about["scale"]:
        raise RecipeError(f"{path}: was trained for x{about['scale']}, not for x{scale}")
    try:
        genotype = load_space(about["space"]).from_dict(about["choices"])
    except SpaceError as error:
        raise CheckpointError(f"{path}: {error}") from None
    module = genotype.build(about["scale"])
    put_weights(module, weights, path, f"genotype {genotype.id}")
    origin = about["origin"] if isinstance(about.get("origin"), dict) else {}
    if name.endswith(".safetensors"):
        name = (plain_name(genotype, about["scale"]) if origin else None) or genotype.id
    return Network(
        name=name,
        source=str(path),
        file_sha256=sha256_of(path),
        scale=about["scale"],
        module=module,
        genotype=genotype,
        weights=digest_weights(module),
        origin=origin,
    )
