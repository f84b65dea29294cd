"""All layouts of released weights that are known, one line each."""

from __future__ import annotations

from nas.networks.released import distillation, folding, modulation
from nas.networks.released.layout import Layout

LAYOUTS: tuple[Layout, ...] = (
    Layout("IMDN", "arXiv 1909.11856", ("IMDB1.c1.weight", "fea_conv.weight"), distillation.imdn),
    Layout(
        "RFDN", "arXiv 2009.11551", ("B1.esa.conv_max.weight", "fea_conv.weight"), distillation.rfdn, peak=255
    ),
    Layout("BSRN-S", "arXiv 2205.05996", ("B1.cw", "fea_conv.pw.weight"), distillation.bsrn_s),
    Layout("BSRN", "arXiv 2205.05996", ("B1.cca.conv_du.0.weight", "fea_conv.pw.weight"), distillation.bsrn),
    Layout(
        *("LKDN", "arXiv 2407.14340", ("B1.atten.pointwise.weight", "fea_conv.pw.weight"), distillation.lkdn),
        fold=folding.fold_lkdn_s,
    ),
    Layout(
        "RLFN", "arXiv 2205.07514", ("block_1.esa.conv1.weight", "conv_1.weight"), distillation.rlfn, peak=255
    ),
    Layout("SAFMN", "arXiv 2302.13800", ("feats.0.safm.mfr.0.weight", "to_feat.weight"), modulation.safmn),
    Layout("GPDN", "released code", ("feats.0.feat_mix.mfr.0.weight", "to_feat.weight"), modulation.gpdn),
    Layout("SMFANet", "ECCV 2024", ("feats.0.smfa.alpha", "to_feat.weight"), modulation.smfanet),
    Layout("VapSR", "arXiv 2210.05960", ("body.0.proj_1.weight", "conv_first.weight"), modulation.vapsr),
)
"""The first whose marks a file has is its."""
