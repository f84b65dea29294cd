"""Evaluation on benchmark sets: PSNR and SSIM, self-ensemble, tables as papers print them."""
