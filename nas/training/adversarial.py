"""Training against a critic that tells restored images from real ones, as F2SRGAN's second stage does.

To add a way in which the critic compares, write a function (real, fake) -> (critic's loss, generator's loss)
of its answers and put it in ADVERSARIALS, and its word into the words of ``Plan.adversarial``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (64, 64, 128, 128, 256, 256, 512, 512)
"""Output channels of the critic's blocks; every second one halves the image."""

POOLED, HIDDEN = 6, 1024
"""Side of the map, and width of the layer, before the critic's answer."""

LEVELS = 255
"""The total variation is counted in levels of 8 bits, as the released code's images are."""


class Answers(NamedTuple):
    """What each of the two makes small, scalars."""

    critic: Tensor
    generator: Tensor


def relativistic(real: Tensor, fake: Tensor) -> Answers:
    """RSGAN: is this real image more real than that restored one, pair by pair (arXiv 1807.00734, sec. 4.1).

    From (B, 1) answers before any sigmoid, of images and restorations in the same order.
    """
    return Answers(_as_real(real - fake), _as_real(fake - real))


def relativistic_average(real: Tensor, fake: Tensor) -> Answers:
    """RaSGAN: is an image more real than the others are on average (arXiv 1807.00734, sec. 4.2).

    In ESRGAN's form (arXiv 1809.00219, sec. 3.1): the generator gains by real images too. The mean of both
    halves, as ESRGAN's released code has it, and not their sum, so that it is of the size of the other.
    """
    above, below = real - fake.mean(), fake - real.mean()
    critic = (_as_real(above) + _as_fake(below)) / 2
    return Answers(critic, (_as_fake(above) + _as_real(below)) / 2)


def _as_real(answers: Tensor) -> Tensor:
    """Mean of -log sigmoid(answer)."""
    return F.softplus(-answers).mean()


def _as_fake(answers: Tensor) -> Tensor:
    """Mean of -log(1 - sigmoid(answer))."""
    return F.softplus(answers).mean()


ADVERSARIALS: dict[str, Callable[[Tensor, Tensor], Answers]] = {
    "ragan": relativistic_average,
    "rgan": relativistic,
}
"""Ways of comparing by the word that a plan's ``adversarial`` takes; ``rgan`` is F2SRGAN's released code."""


class Critic(nn.Module):
    """(B, 3, H, W) in [0, 1] -> (B, 1): how real it looks, before any sigmoid.

    F2SRGAN's (released code; from SwiftSRGAN): eight depth-wise separable 3x3 convolutions with batch
    normalisation (not in the first) and LeakyReLU 0.2, pooled to 6x6, two linear layers. Deviations: every
    second block halves the image, which the code asks of a layer that takes no stride; no sigmoid at the end,
    where the code has one before its loss takes another; images in [0, 1]. The statistics are always those of
    the batch at hand, restored and real images apart.
    """

    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        channels = 3
        for number, width in enumerate(WIDTHS):
            stride = 1 + number % 2
            blocks.append(nn.Conv2d(channels, channels, 3, stride=stride, padding=1, groups=channels))
            blocks.append(nn.Conv2d(channels, width, 1))
            if number:
                blocks.append(nn.BatchNorm2d(width, track_running_stats=False))
            blocks.append(nn.LeakyReLU(0.2, inplace=True))
            channels = width
        self.blocks = nn.Sequential(*blocks)
        self.answer = nn.Sequential(
            nn.AdaptiveAvgPool2d(POOLED),
            nn.Flatten(),
            nn.Linear(channels * POOLED**2, HIDDEN),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Linear(HIDDEN, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """How real each image looks."""
        said: Tensor = self.answer(self.blocks(x))
        return said


def total_variation(x: Tensor) -> Tensor:
    """(B) sums over each image of the differences of neighbours, in levels; from (B, 3, H, W) in [0, 1]."""
    rows = (x[:, :, 1:] - x[:, :, :-1]).abs().sum((1, 2, 3))
    columns = (x[..., 1:] - x[..., :-1]).abs().sum((1, 2, 3))
    return LEVELS * (rows + columns)


class Adversary(nn.Module):
    """The critic, and what it and a feature network add to a generator's loss.

    ``features`` is frozen and no part of the state; ``critic`` trains along, by an optimiser of its own. The
    parameters of ``critic`` follow from torch's seed. ``batch`` is the plan's: the released code sums the
    total variation over it, so that its weight belongs to a sum over that many images.
    """

    def __init__(
        self,
        kind: str,
        features: nn.Module,
        *,
        weight: float,
        feature_weight: float,
        tv_weight: float,
        batch: int,
    ) -> None:
        super().__init__()
        self._compare = ADVERSARIALS[kind]
        self.weight, self.feature_weight, self.tv_weight, self.batch = (
            weight,
            feature_weight,
            tv_weight,
            batch,
        )
        self.features = features.eval().requires_grad_(False)
        self.critic = Critic()

    def critic_loss(self, sr: Tensor, hr: Tensor) -> Tensor:
        """What the critic makes small: it sees both as they are, and the generator gets no gradient."""
        self.critic.requires_grad_(True)
        real, fake = self.critic(hr), self.critic(sr.detach())
        return self._compare(real.float(), fake.float()).critic

    def generator_loss(self, sr: Tensor, hr: Tensor) -> Tensor:
        """What the generator makes small besides its plan's loss; the critic gets no gradient.

        From SR and HR, float32 (B, 3, H, W): the weighted sum of the mean squared difference of the features,
        of the adversarial loss and of the total variation.
        """
        self.critic.requires_grad_(False)
        with torch.no_grad():
            real, seen = self.critic(hr), self.features(hr)
        adversarial = self._compare(real.float(), self.critic(sr).float()).generator
        features = F.mse_loss(self.features(sr).float(), seen.float())
        variation = total_variation(sr).mean() * self.batch
        return self.feature_weight * features + self.weight * adversarial + self.tv_weight * variation
