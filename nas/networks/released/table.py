"""All layouts of released weights that are known, one line each."""

from __future__ import annotations

from nas.networks.released import distillation, folding, modulation, plain
from nas.networks.released.layout import Layout

LAYOUTS: tuple[Layout, ...] = (
    Layout("IMDN", "arXiv 1909.11856", ("IMDB1.c1.weight",), distillation.imdn),
    Layout("RFDN", "arXiv 2009.11551", ("B1.esa.conv_max.weight",), distillation.rfdn, peak=255),
    Layout("BSRN-S", "arXiv 2205.05996", ("B1.conv_out.weight",), distillation.bsrn_s, folding.fold_bsrn_s),
    Layout("BSRN", "arXiv 2205.05996", ("B1.cca.conv_du.0.weight",), distillation.bsrn),
    Layout(
        "LKDN", "arXiv 2407.14340", ("B1.atten.pointwise.weight",), distillation.lkdn, folding.fold_lkdn_s
    ),
    Layout("RLFN", "arXiv 2205.07514", ("block_1.esa.conv1.weight",), distillation.rlfn, peak=255),
    Layout("SAFMN", "arXiv 2302.13800", ("feats.0.safm.mfr.0.weight",), modulation.safmn),
    Layout("SAFMN++", "NTIRE 2024", ("feats.0.conv1.proj.weight",), modulation.safmn_plus),
    Layout("GPDN", "released code", ("feats.0.feat_mix.mfr.0.weight",), modulation.gpdn),
    Layout("SMFANet", "ECCV 2024", ("feats.0.smfa.alpha",), modulation.smfanet),
    Layout("VapSR", "arXiv 2210.05960", ("body.0.proj_1.weight",), modulation.vapsr),
    Layout("MAN", "arXiv 2209.14145", ("body.0.body.0.LKA.proj_first.0.weight",), modulation.man),
    Layout("SPAN", "arXiv 2311.12770", ("block_1.c1_r.eval_conv.weight",), plain.span, folding.fold_span),
    Layout("SPANV2", "NTIRE 2026", ("conv_near.weight",), plain.spanv2),
    Layout(
        "PlainUSR", "arXiv 2409.13435", ("tail.0.weight", "blockm."), plain.plainusr, folding.fold_plainusr
    ),
    Layout("ECBSR", "ACM MM 2021", ("backbone.0.conv3x3.weight",), plain.ecbsr, folding.fold_ecbsr),
)
"""The first whose marks a file has is its."""
