"""What a trained classifier sees in an image: VGG19 up to conv5_4, its weights from a file that a user names.

The layers are our own, so that torchvision is not needed; the names are torchvision's, so that its file fits.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from nas.errors import CheckpointError, RecipeError
from nas.training.checkpoint import load_pickled, load_weights

WIDTHS = ((64, 64), (128, 128), (256, 256, 256, 256), (512, 512, 512, 512), (512, 512, 512, 512))
"""Output channels of VGG19's 3x3 convolutions, five times up to a halving of the image."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's images in [0, 1], by colour, as the weights were trained."""

LEAST_HR = 16
"""Sides of the images that are halved four times and still have a pixel."""


class VGG19(nn.Module):
    """(B, 3, H, W) in [0, 1] -> (B, 512, H / 16, W / 16): conv5_4 before its activation.

    VGG19 without batch normalisation (arXiv 1409.1556, configuration E); the layer is the one that SRGAN
    (arXiv 1609.04802, sec. 2.2.1) names VGG54, before its activation as in ESRGAN (arXiv 1809.00219,
    sec. 3.2). H and W are at least LEAST_HR. ``features.N`` are torchvision's numbers.
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for widths in WIDTHS:
            for width in widths:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers[:-2])
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Features of images in [0, 1]; values beyond are seen as they are."""
        made: Tensor = self.features((x - self.mean) / self.std)
        return made


def read_features(path: Path) -> VGG19:
    """VGG19 with the weights in ``path``, frozen: ``.safetensors``, or what ``torch.save`` wrote of a state.

    What the file holds besides (the classifier) is left alone. No code of the file is run. Raises RecipeError
    where there is no file, CheckpointError where it does not hold VGG19's weights.
    """
    require_features(path)
    held = load_weights(path)[0] if path.suffix == ".safetensors" else load_pickled(path, "weights of VGG19")
    if not isinstance(held, dict):
        raise CheckpointError(f"{path}: holds no weights by name")
    with torch.device("meta"):
        like = VGG19().state_dict()
    weights = {name: _checked(path, name, held.get(name), wanted) for name, wanted in like.items()}
    network = VGG19()
    network.load_state_dict(weights)
    return network.eval().requires_grad_(False)


def require_features(path: Path | None) -> Path:
    """``path``, where there is a file. Raises RecipeError, which says what is needed, where there is none."""
    needed = (
        "an adversarial training needs VGG19's weights in torchvision's layout (vgg19.pth: features.N.weight)"
    )
    if path is None:
        raise RecipeError(f"{needed}, and no file of them was given (nas compress --features FILE)")
    if not path.is_file():
        raise RecipeError(f"{path}: there is no such file, and {needed}")
    return path


def _checked(path: Path, name: str, found: object, wanted: Tensor) -> Tensor:
    """One tensor of the file in float32."""
    what = f"{path}: is no VGG19 in torchvision's layout: {name}"
    if not isinstance(found, Tensor):
        raise CheckpointError(f"{what} is missing" if found is None else f"{what} is no tensor")
    if found.shape != wanted.shape:
        raise CheckpointError(f"{what} has the shape {tuple(found.shape)}, not {tuple(wanted.shape)}")
    if found.layout != torch.strided or not found.is_floating_point():
        raise CheckpointError(f"{what} is {found.dtype}; floating-point numbers are needed")
    if not torch.isfinite(found).all():
        raise CheckpointError(f"{what} has values that are no numbers")
    return found.float()
