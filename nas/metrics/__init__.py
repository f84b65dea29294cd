"""Metrics of image quality: PSNR and SSIM."""

from nas.core.deprecated import NAMES

__getattr__ = NAMES.of(__name__)
