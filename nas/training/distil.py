"""What a student is told by its teacher while it trains, by name: terms that are added to the loss.

To add a distillation, write a :class:`Term` and put it in DISTILLATIONS with its usual weight, and its word
into the words of ``Plan.distil``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.errors import RecipeError

PROBE = 0.5
"""Grey of the image with which a network is asked once for the sizes of its features."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a network made of a batch: its output, and the features at its points, (B, C, H, W) each."""

    sr: Tensor
    features: Sequence[Tensor] = ()


class Term(nn.Module, ABC):
    """A scalar from what student and teacher made of one batch; its own parameters train along.

    ``student`` and ``teacher`` are the channels of the features at their points, in order.
    """

    features: ClassVar[bool] = True
    """Whether it looks at features; else at outputs alone."""

    def __init__(self, student: Sequence[int], teacher: Sequence[int], dim: int) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, student: Seen, teacher: Seen) -> Tensor:
        """The scalar, float32."""


class Output(Term):
    """Mean absolute difference of the two outputs."""

    features = False

    def forward(self, student: Seen, teacher: Seen) -> Tensor:
        """From both outputs, (B, 3, s * H, s * W)."""
        return F.l1_loss(student.sr.float(), teacher.sr.float())


class AttentionTransfer(Term):
    """Distance of normalised maps of where features are strong, summed over pairs of points.

    A map is the sum over channels of squared features, flattened and divided by its L2 norm; the distance is
    that of L2 (AT: Zagoruyko and Komodakis, arXiv 1612.03928, sec. 3.1, Eq. 2 with p = 2; the mean over a
    batch is ours). The points of both networks are paired in order, as many as the one with fewer has.
    """

    def forward(self, student: Seen, teacher: Seen) -> Tensor:
        """From features of equal size; their channels may differ."""
        pairs = zip(student.features, teacher.features, strict=True)
        distances = [torch.linalg.vector_norm(_map(s) - _map(t), dim=1).mean() for s, t in pairs]
        return torch.stack(distances).sum()


class AttentiveFeatures(Term):
    """AFD: which feature of the student should learn from which of the teacher's is itself learnt.

    Each point of the teacher asks (a query from its mean over pixels), each of the student answers (a key);
    the softmax of their products over the student's points weighs the squared distances of the pairs'
    normalised maps (Ji et al., Show, Attend and Distill, arXiv 2102.02973, sec. 3, and the released code).
    Deviations: layer norms for the code's batch norms, so that a batch in parts gives the whole one's
    gradient; the maps have the size of the LR image on both sides and need no resampling.
    """

    def __init__(self, student: Sequence[int], teacher: Sequence[int], dim: int) -> None:
        super().__init__(student, teacher, dim)
        self.dim = dim
        self.queries = nn.ModuleList(_projection(channels, dim) for channels in teacher)
        self.keys = nn.ModuleList(_projection(channels, dim) for channels in student)
        self.bilinear = nn.Sequential(nn.Linear(dim, dim * len(teacher)), nn.LayerNorm(dim * len(teacher)))
        self.place_of_teacher = nn.Parameter(nn.init.xavier_normal_(torch.empty(len(teacher), dim)))
        self.place_of_student = nn.Parameter(nn.init.xavier_normal_(torch.empty(len(student), dim)))

    def attention(self, student: Seen, teacher: Seen) -> Tensor:
        """(B, points of the teacher, points of the student), which adds up to 1 over the latter."""
        asked = [layer(_means(f)) for layer, f in zip(self.queries, teacher.features, strict=True)]
        answers = [F.relu(layer(_means(f))) for layer, f in zip(self.keys, student.features, strict=True)]
        query_btq, key_bsq = torch.stack(asked, 1), torch.stack(answers, 1)
        key_bstq = self.bilinear(key_bsq).unflatten(2, (len(self.queries), self.dim))
        logits = torch.einsum("bstq,btq->bts", key_bstq, query_btq)
        logits = logits + self.place_of_teacher @ self.place_of_student.T
        return (logits / math.sqrt(self.dim)).softmax(2)

    def forward(self, student: Seen, teacher: Seen) -> Tensor:
        """From features of equal size; their numbers and channels may differ."""
        of_student = torch.stack([_map(f) for f in student.features], 1)
        of_teacher = torch.stack([_map(f) for f in teacher.features], 1)
        apart_bts = (of_student[:, None] - of_teacher[:, :, None]).square().mean(3)
        return (apart_bts * self.attention(student, teacher)).sum(2).mean(0).sum()


def _map(features: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H * W) of length 1."""
    return F.normalize(features.float().square().sum(1).flatten(1), dim=1)


def _means(features: Tensor) -> Tensor:
    return features.float().mean((2, 3))


def _projection(channels: int, dim: int) -> nn.Module:
    return nn.Sequential(nn.Linear(channels, dim), nn.LayerNorm(dim))


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A distillation: its term, and the weight it has where a plan names none."""

    term: type[Term]
    weight: float
    doc: str


DISTILLATIONS: dict[str, Kind] = {
    "output": Kind(term=Output, weight=1.0, doc="L1 to the teacher's output (weight ours)"),
    "at": Kind(term=AttentionTransfer, weight=0.1, doc="attention transfer (weight ours)"),
    "afd": Kind(
        term=AttentiveFeatures,
        weight=200.0,
        doc="attention-based feature distillation (weight of Light F2SRGAN's released code)",
    ),
}
"""Distillations by the word that a plan's ``distil`` takes."""


@dataclass(kw_only=True)
class Points:
    """The points of a network at which its features are looked at; listens only when it is told to.

    ``names`` are the modules at the points, ``channels`` what they put out.
    """

    names: list[str]
    channels: list[int]
    _places: list[int]
    _modules: list[nn.Module]
    _heard: list[Tensor] | None = field(default=None, repr=False)

    def attach(self) -> None:
        """Be called by the modules from now on."""
        for module in self._modules:
            module.register_forward_hook(self._hear)

    def listen(self) -> None:
        """Keep what the next forward pass puts out."""
        self._heard = []

    def take(self) -> list[Tensor]:
        """The features that were heard, in order; stops listening."""
        heard, self._heard = self._heard or [], None
        return [heard[place] for place in self._places]

    def _hear(self, module: nn.Module, given: object, made: Tensor) -> None:
        if self._heard is not None:
            self._heard.append(made)


def find_points(network: nn.Module, lr_patch: int, most: int, what: str) -> Points:
    """At most ``most`` points of any network, evenly spread over its blocks in the order of computation.

    A block is a member of a list directly below the network (ModuleList, Sequential) that is made of further
    modules and puts out a map of the size of the LR image; a block that is used several times counts several
    times. In a network without such lists every module below it counts that puts out such a map. The last
    block is always a point. Raises RecipeError, with ``what`` it is, where there is none.
    """
    lists = [c for c in network.children() if isinstance(c, nn.ModuleList) or type(c) is nn.Sequential]
    members = [member for listed in lists for member in listed if next(member.children(), None) is not None]
    for modules in (members, list(network.modules())[1:]):
        unique = list(dict.fromkeys(modules))
        calls = _calls(network, unique, lr_patch)
        if calls:
            break
    else:
        raise RecipeError(f"{what}: no module of it puts out a map of the size of the LR image to distil")
    count = min(most, len(calls))
    chosen = [-(-(place + 1) * len(calls) // count) - 1 for place in range(count)]
    used = [module for module in unique if any(module is called for called, _ in calls)]
    names = {id(module): name for name, module in network.named_modules()}
    return Points(
        names=[names[id(calls[place][0])] for place in chosen],
        channels=[calls[place][1] for place in chosen],
        _places=chosen,
        _modules=used,
    )


def _calls(network: nn.Module, modules: Sequence[nn.Module], lr_patch: int) -> list[tuple[nn.Module, int]]:
    """The calls of ``modules`` in one forward pass that put out maps of the LR size, with their channels."""
    found: list[tuple[nn.Module, object]] = []
    handles = [m.register_forward_hook(lambda m, given, made: found.append((m, made))) for m in modules]
    like = next(iter(network.parameters()), torch.empty(()))
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            network(torch.full((1, 3, lr_patch, lr_patch), PROBE, device=like.device))
    finally:
        network.train(was_training)
        for handle in handles:
            handle.remove()
    fits = {id(m): True for m in modules}
    for module, made in found:
        right = isinstance(made, Tensor) and made.ndim == 4 and made.shape[2:] == (lr_patch, lr_patch)
        fits[id(module)] &= right
    return [(m, made.shape[1]) for m, made in found if fits[id(m)] and isinstance(made, Tensor)]


class Teaching(nn.Module):
    """A teacher beside a student: runs both, and says what the teacher adds to the loss.

    ``weight`` None takes the distillation's usual one. The teacher is frozen; ``term`` may train along, and
    is the only part whose state is worth saving. The parameters of ``term`` follow from torch's seed.
    """

    def __init__(
        self,
        kind: str,
        student: nn.Module,
        teacher: nn.Module,
        *,
        weight: float | None,
        points: int,
        dim: int,
        lr_patch: int,
    ) -> None:
        super().__init__()
        found = DISTILLATIONS[kind]
        self.weight = found.weight if weight is None else weight
        self.teacher = teacher.eval().requires_grad_(False)
        self._points: tuple[Points, Points] | None = None
        channels: tuple[list[int], list[int]] = ([], [])
        if found.term.features:
            pair = _paired(student, teacher, lr_patch, points, equal=found.term is AttentionTransfer)
            self._points, channels = pair, (pair[0].channels, pair[1].channels)
        self.term = found.term(channels[0], channels[1], dim)

    def forward(self, model: nn.Module, lr: Tensor) -> tuple[Tensor, Tensor]:
        """The student's SR of ``lr``, and the weighted term; ``model`` is the student or what wraps it."""
        student, teacher = self._points or (None, None)
        if teacher is not None:
            teacher.listen()
        with torch.no_grad():
            known = self.teacher(lr)
        told = Seen(sr=known, features=() if teacher is None else teacher.take())
        if student is not None:
            student.listen()
        sr = model(lr)
        seen = Seen(sr=sr, features=() if student is None else student.take())
        with torch.autocast(lr.device.type, enabled=False):
            return sr, self.weight * self.term(seen, told)


def _paired(
    student: nn.Module, teacher: nn.Module, lr_patch: int, most: int, *, equal: bool
) -> tuple[Points, Points]:
    """The points of both networks; as many in one as in the other where they are to be ``equal``."""
    found = find_points(student, lr_patch, most, "student"), find_points(teacher, lr_patch, most, "teacher")
    fewer = min(len(points.names) for points in found)
    if equal and any(len(points.names) != fewer for points in found):
        return _paired(student, teacher, lr_patch, fewer, equal=False)
    for points in found:
        points.attach()
    return found
