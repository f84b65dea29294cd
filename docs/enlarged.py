"""The picture of docs/using.md: bicubic, the network that comes with the package, and the original.

The photograph is one of scikit-image's, made half as large and enlarged again: python docs/enlarged.py
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import skimage.data
import torch
from PIL import Image, ImageDraw, ImageFont

from nas.imaging.bicubic import imresize
from nas.metrics.fidelity import METRICS, to_uint8
from nas.networks.loading import load_network
from nas.networks.pretrained import DEFAULT

TARGET = Path(__file__).parent / "images" / "enlarged.png"
TIMES = 3
"""Each pixel is shown as so many, so that single ones can be seen."""


def main() -> None:
    """Write the picture."""
    hr = torch.from_numpy(np.array(skimage.data.astronaut()[20:180, 140:300])).permute(2, 0, 1)
    lr = imresize(hr, Fraction(1, 2))
    network = load_network(DEFAULT, scale=2, weights=None, runs=Path(), open_store=None)
    with torch.no_grad():
        sr = to_uint8(network.module.eval()(lr[None].float() / 255)[0])
    panels = {"bicubic": imresize(lr, 2), DEFAULT: sr, "original": hr}
    side = hr.shape[-1] * TIMES
    sheet = Image.new("RGB", (len(panels) * side + 20, side + 34), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(20)
    for place, (name, pixels) in enumerate(panels.items()):
        picture = Image.fromarray(pixels.permute(1, 2, 0).numpy())
        left = place * (side + 10)
        sheet.paste(picture.resize((side, side), Image.Resampling.NEAREST), (left, 34))
        psnr = "" if pixels is hr else f", {METRICS['y_float'](pixels, hr, 2)[0]:.2f} dB"
        draw.text((left + 4, 4), f"{name}{psnr}", "black", font)
    sheet.save(TARGET, optimize=True)
    print(f"wrote {TARGET} ({TARGET.stat().st_size >> 10} KiB)")


if __name__ == "__main__":
    main()
