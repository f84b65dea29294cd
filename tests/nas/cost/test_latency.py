from __future__ import annotations

import torch

from nas.cost.latency import measure_latency
from search_spaces.lightweight import Lightweight

CPU = torch.device("cpu")


def test_a_network_that_does_more_takes_longer() -> None:
    small, large = (Lightweight(width=w, blocks=b, transformers=0) for w, b in ((16, 1), (64, 6)))
    fast, slow = (measure_latency(lambda g=g: g.build(4), 4, CPU, (128, 192)) for g in (small, large))
    assert 0 < fast.p5_ms <= fast.median_ms <= fast.p95_ms
    assert slow.p5_ms > 2 * fast.p5_ms


def test_the_network_is_left_as_inference_needs_it() -> None:
    seen = []

    class Look(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append((self.training, torch.is_grad_enabled(), tuple(x.shape)))
            return x

    measure_latency(Look, 2, CPU, (64, 96), runs=3)
    assert set(seen) == {(False, False, (1, 3, 32, 48))}
    assert len(seen) == 5
