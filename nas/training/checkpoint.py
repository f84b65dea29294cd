"""Files of a training: weights as safetensors, the state to go on from; each is whole or absent."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nas.core.files import write_whole
from nas.errors import CheckpointError
from search_spaces import Genotype, SpaceError, load_space

WEIGHTS = "weights.safetensors"
STATE = "state.pt"

_UNREADABLE = (
    *(OSError, RuntimeError, ValueError, EOFError, LookupError, AttributeError, TypeError, AssertionError),
    *(struct.error, pickle.UnpicklingError),
)
"""What torch raises for a file that is cut off or no such file; it has no common type."""


def save_weights(path: Path, weights: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Weights with ``about`` (plain values: genotype, scale, protocol) in the file's header."""
    # A copy of each: safetensors refuses two names of one tensor, which blocks that share weights have.
    plain = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in weights.items()}
    header = {"paretosr": json.dumps(dict(about))}
    write_whole(path, lambda temporary: save_file(plain, temporary, metadata=header))


def load_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights and what the header says about them. Raises CheckpointError for a damaged file."""
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("paretosr", "{}"))
        return load_file(path), about
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path}: no readable weights ({error})") from error


def load_described(path: Path) -> tuple[Genotype, int, nn.Module]:
    """Genotype, scale and network, with its weights, of a file whose header says what it is of.

    Raises CheckpointError for a damaged file, one that says nothing, and one whose weights do not fit.
    """
    weights, about = load_weights(path)
    if "choices" not in about or about.get("scale") not in (2, 3, 4):
        raise CheckpointError(f"{path}: does not say which network its weights belong to")
    try:
        genotype = load_space(str(about.get("space", "lightweight"))).from_dict(about["choices"])
        network = genotype.build(about["scale"])
    except (SpaceError, TypeError) as error:
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
    other = [name for name in own if name in weights and own[name].shape != weights[name].shape]
    problems = [
        f"{len(names)} {kind} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        for kind, names in (("missing", missing), ("not known", strange), ("of another shape", other))
        if names
    ]
    if problems:
        raise CheckpointError(f"{path}: does not fit {name}: {'; '.join(problems)}")
    try:
        network.load_state_dict(weights)
    except (RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"{path}: does not fit {name} ({str(error).splitlines()[0]})") from error


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Everything that the next attempt needs to go on exactly."""
    write_whole(path, lambda temporary: torch.save(dict(state), temporary))


def load_state(path: Path) -> dict[str, Any]:
    """What :func:`save_state` wrote. Raises CheckpointError."""
    state: dict[str, Any] = load_pickled(path, "training state")
    return state


def load_pickled(path: Path, what: str) -> Any:
    """What ``torch.save`` wrote, on the CPU; never runs code from the file.

    Raises CheckpointError that says there is no readable ``what``.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path}: no readable {what} ({reason})") from error
