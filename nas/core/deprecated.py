"""Import paths of `nas` that have moved: the old ones work for one version, with a DeprecationWarning."""

from __future__ import annotations

from leaderboard.deprecated import DeprecatedNames

NAMES = DeprecatedNames(
    {
        "nas.calibrate.calibrate": "nas.calibration.calibration.calibrate",
        "nas.compress.quantise.finish_qat": "nas.training.qat.finish_qat",
        "nas.compress.quantise.prepare_qat": "nas.training.qat.prepare_qat",
        "nas.compress.quantise.quantise_onnx": "nas.export.onnx_int8.quantise_onnx",
        "nas.cost.Budget": "nas.cost.budget.Budget",
        "nas.cost.Cost": "nas.cost.budget.Cost",
        "nas.cost.cost_of": "nas.cost.counting.cost_of",
        "nas.cost.measure": "nas.cost.counting.measure",
        "nas.device.cpu_threads": "nas.core.device.cpu_threads",
        "nas.imresize.imresize": "nas.imaging.bicubic.imresize",
        "nas.ladder.read_ladder": "nas.calibration.sweep.read_sweep",
        "nas.metrics.METRICS": "nas.metrics.fidelity.METRICS",
        "nas.metrics.to_uint8": "nas.metrics.fidelity.to_uint8",
        "nas.networks.load_network": "nas.networks.loading.load_network",
        "nas.search.search": "nas.search.session.search",
        "nas.shipped.DEFAULT": "nas.networks.pretrained.DEFAULT",
    }
)
"""The paths that the documentation named."""
