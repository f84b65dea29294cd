"""Metrics of image quality: PSNR and SSIM."""
