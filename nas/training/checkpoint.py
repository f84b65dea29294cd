"""Files of a training: weights as safetensors, the state to go on from; each is whole or absent."""

from __future__ import annotations

import json
import pickle
import re
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from leaderboard.names import shortened
from leaderboard.untrusted import UntrustedError, parse_json
from nas.core.files import write_whole
from nas.errors import CheckpointError, DivergedError
from nas.training.saved_state import check_form
from search_spaces import Genotype, SpaceError, load_space
from search_spaces.errors import SCALES

WEIGHTS = "weights.safetensors"
STATE = "state.pt"
TRUNK = "trunk.pt"
"""The state from which a longer training resumes, until the training that keeps it has ended."""

MOST_HEADER_BYTES = 4 * 2**20
"""Of the header of a file of weights: names, shapes and the description of its network."""

_UNREADABLE = (
    *(OSError, RuntimeError, ValueError, EOFError, LookupError, AttributeError, TypeError, AssertionError),
    *(MemoryError, ArithmeticError, struct.error, pickle.UnpicklingError, zipfile.BadZipFile),
)
"""What torch raises for a file that is cut off or no such file; it has no common type."""


def save_weights(path: Path, weights: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Weights with ``about`` (plain values: genotype, scale, protocol) in the file's header."""
    # A copy of each: safetensors refuses two names of one tensor, which blocks that share weights have.
    plain = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in weights.items()}
    header = {"paretosr": json.dumps(dict(about))}
    write_whole(path, lambda temporary: save_file(plain, temporary, metadata=header))


def load_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights and what the header says about them.

    Where it has ``choices``, then these are a table, ``space`` is the name of a space and ``scale`` one of
    2, 3, 4. Raises CheckpointError for a damaged file.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
        if length > MOST_HEADER_BYTES:
            raise UntrustedError(f"its header is larger than {MOST_HEADER_BYTES:,} bytes")
        with safe_open(path, framework="pt") as opened:
            about = parse_json((opened.metadata() or {}).get("paretosr", "{}"))
        _check_about(about)
        return load_file(path), about
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path}: no readable weights ({shortened(error, 300)})") from error


def _check_about(about: Any) -> None:
    if not isinstance(about, dict):
        raise UntrustedError(f"its description is {shortened(repr(about))}, and no table")
    if "choices" not in about:
        return
    if not isinstance(about["choices"], dict):
        raise UntrustedError(f"choices = {shortened(repr(about['choices']))}: a table is needed")
    scale = about.get("scale")
    if type(scale) is not int or scale not in SCALES:
        raise UntrustedError(f"scale = {shortened(repr(scale))} (allowed: {', '.join(map(str, SCALES))})")
    space = about.setdefault("space", "lightweight")
    if not isinstance(space, str):
        raise UntrustedError(f"space = {shortened(repr(space))}: the name of a space is needed")


def save_described(
    path: Path,
    genotype: Genotype,
    scale: int,
    network: nn.Module,
    origin: Mapping[str, Any] | None = None,
) -> None:
    """Write the weights of a genotype's network in the form that :func:`load_described` reads.

    ``origin``: plain values that say where weights come from that were not trained here.
    """
    about: dict[str, Any] = {"space": genotype.space, "choices": genotype.to_dict(), "scale": scale}
    if origin:
        about["origin"] = dict(origin)
    save_weights(path, network.state_dict(), about)


def load_described(path: Path) -> tuple[Genotype, int, nn.Module]:
    """Genotype, scale and network, with its weights, of a file whose header says what it is of.

    Raises CheckpointError for a damaged file, one that says nothing, and one whose weights do not fit.
    """
    weights, about = load_weights(path)
    if "choices" not in about:
        raise CheckpointError(f"{path}: does not say which network its weights belong to")
    try:
        genotype = load_space(about["space"]).from_dict(about["choices"])
        network = genotype.build(about["scale"])
    except SpaceError as error:
        raise CheckpointError(f"{path}: {error}") from error
    put_weights(network, weights, path)
    return genotype, about["scale"], network


def put_weights(
    network: nn.Module, weights: Mapping[str, Tensor], path: Path, name: str = "the network"
) -> None:
    """Load weights into a network.

    Args:
        network: The network, which is changed.
        weights: All of its parameters and buffers by name.
        path: The file that they were read from, for messages.
        name: What messages call the network.

    Raises:
        CheckpointError: The weights do not fit.
    """
    own = network.state_dict()
    missing, strange = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    both = [name for name in own if name in weights]
    found = {
        "missing": missing,
        "not known": strange,
        "of another shape": [name for name in both if own[name].shape != weights[name].shape],
        "of another type": [name for name in both if not _same_type(own[name], weights[name])],
    }
    if not any(found.values()):
        found["with a number that is not finite"] = [name for name in both if not _is_finite(weights[name])]
    problems = [
        f"{len(names)} {kind} ({', '.join(shortened(name) for name in names[:3])}"
        f"{', ...' if len(names) > 3 else ''})"
        for kind, names in found.items()
        if names
    ]
    if problems:
        raise CheckpointError(f"{path}: does not fit {name}: {'; '.join(problems)}")
    try:
        network.load_state_dict(weights)
    except (RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"{path}: does not fit {name} ({str(error).splitlines()[0]})") from error


def _same_type(own: Tensor, other: Tensor) -> bool:
    """Whether the other is as dense and of the same kind of number, so that loading converts nothing."""
    return own.dtype == other.dtype and other.layout == torch.strided and other.device.type == "cpu"


def _is_finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Everything that the next attempt needs to go on exactly."""
    write_whole(path, lambda temporary: torch.save(dict(state), temporary))


def load_state(path: Path) -> dict[str, Any]:
    """What :func:`save_state` wrote, in the form of `nas.training.saved_state`.

    Raises CheckpointError, and DivergedError where a number in it is not finite.
    """
    state: dict[str, Any] = load_pickled(path, "training state")
    try:
        check_form(state)
    except UntrustedError as error:
        raise CheckpointError(
            f"{path}: no training state ({shortened(error, 300)}); move it away to start afresh"
        ) from error
    except DivergedError as error:
        raise DivergedError(f"{path}: {error}; the training had diverged when it was saved") from error
    return state


def load_pickled(path: Path, what: str) -> Any:
    """What ``torch.save`` wrote, on the CPU; never runs code from the file.

    Raises CheckpointError that says there is no readable ``what``.
    """
    try:
        _refuse_packed(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise CheckpointError(f"{path}: no readable {what} ({shortened(_reason(error), 300)})") from error


def _reason(error: BaseException) -> str:
    """One line; torch's own for a file that asks for code advises to run it."""
    wanted = re.search(r"(?:GLOBAL|[Uu]nsupported class) (\S+)", str(error))
    if wanted is not None:
        return f"it asks for {wanted[1]}, which no weights need; nothing of it was run"
    if isinstance(error, pickle.UnpicklingError):
        return "it is no file of plain weights"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _refuse_packed(path: Path) -> None:
    """Raise ValueError for an archive that unpacks to more than its size; ``torch.save`` packs nothing."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    size = path.stat().st_size
    if unpacked > size:
        raise ValueError(f"it unpacks to {unpacked:,} bytes from {size:,}, which torch.save does not write")
