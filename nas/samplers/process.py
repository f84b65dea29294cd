"""A Gaussian process for noisy quality at known cost, fitted with GPyTorch.

GPyTorch and not scikit-learn, because the length scales need a prior while there are fewer results than axes,
and not BoTorch, which is GPyTorch with more dependencies: ``docs/samplers.md`` has the times and errors of
the three.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

with warnings.catch_warnings():
    warnings.simplefilter(
        "ignore", DeprecationWarning
    )  # of torch.jit.script, which it decorates functions with
    import gpytorch
    from gpytorch.constraints import GreaterThan
    from gpytorch.distributions import MultivariateNormal
    from gpytorch.kernels import MaternKernel, ScaleKernel
    from gpytorch.likelihoods import GaussianLikelihood
    from gpytorch.mlls import ExactMarginalLogLikelihood
    from gpytorch.priors import LogNormalPrior

Array = NDArray[np.float64]

MOST_FITTED = 256
"""Rows from which scales are learned; a fit takes the cube of it. Predictions use all rows."""

ITERATIONS = 30
"""Steps of L-BFGS at most. A later fit begins where the last one ended."""

JITTER = tuple(10.0**power for power in range(-8, 1))
"""Added to the diagonal one after the other until the matrix factorises, in units of the kernel's scale."""

RIDGE = 0.03
"""Pull of the mean's coefficients towards zero, in units of the qualities' variance: for few rows."""


class ProcessError(Exception):
    """Nothing could be predicted from the rows, whatever was tried."""


class _Model(gpytorch.models.ExactGP):
    """Matern-5/2 with one length scale for each group of columns, around zero."""

    def __init__(self, x: Tensor, y: Tensor, likelihood: GaussianLikelihood, groups: Tensor) -> None:
        super().__init__(x, y, likelihood)
        self.groups = groups
        count = int(groups.max()) + 1
        self.kernel = ScaleKernel(MaternKernel(nu=2.5), outputscale_prior=LogNormalPrior(0.0, 1.0))
        # The groups' scales are divided by before: Matern's own single scale stays 1.
        self.kernel.base_kernel.lengthscale = 1.0
        self.kernel.base_kernel.raw_lengthscale.requires_grad_(False)
        # The more axes, the longer the scales must be for distances to stay moderate (arXiv 2402.02229).
        usual = 0.7 + math.log(count) / 2
        self.log_scales = torch.nn.Parameter(torch.full((count,), usual, dtype=torch.float64))
        self.register_prior("scales", LogNormalPrior(usual, 1.0), lambda m: m.log_scales.exp())

    def scaled(self, x: Tensor) -> Tensor:
        return x / self.log_scales.exp()[self.groups]

    def forward(self, x: Tensor) -> MultivariateNormal:
        return MultivariateNormal(torch.zeros_like(x[:, 0]), self.kernel(self.scaled(x)))


class Process:
    """Quality as ``basis @ coefficients`` + a Gaussian process over ``x`` + noise.

    ``groups`` (columns,) says which columns of ``x`` share a length scale. Rows are ``x`` (n, columns),
    ``basis`` (n, m) whose first column is 1, ``y`` (n,).
    """

    def __init__(self, groups: NDArray[np.intp]) -> None:
        self._groups = torch.from_numpy(np.unique(groups, return_inverse=True)[1])
        self._likelihood = GaussianLikelihood(
            noise_prior=LogNormalPrior(-4.0, 1.5), noise_constraint=GreaterThan(1e-5, initial_value=0.02)
        ).double()
        nothing = torch.zeros((1, len(groups)), dtype=torch.float64)
        self._model = _Model(nothing, nothing[:, 0], self._likelihood, self._groups).double()

    def fit(self, x: Array, basis: Array, y: Array) -> None:
        """Learn scales and noise from the rows; what cannot be fitted leaves those of before."""
        if len(y) > MOST_FITTED:
            some = np.random.default_rng(len(y)).permutation(len(y))[:MOST_FITTED]
            x, basis, y = x[some], basis[some], y[some]
        self._standardise(basis, y)
        before = {name: value.clone() for name, value in self._model.state_dict().items()}
        rest = torch.from_numpy(self._rest(basis, y))
        rows = torch.from_numpy(x)
        self._model.set_train_data(rows, rest, strict=False)
        self._model.train()
        self._likelihood.train()
        likelihood = ExactMarginalLogLikelihood(self._likelihood, self._model)
        parameters = [p for p in self._model.parameters() if p.requires_grad]
        steps = torch.optim.LBFGS(parameters, max_iter=ITERATIONS, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            steps.zero_grad()
            value = -likelihood(self._model(rows), rest)
            value.backward()
            return value

        try:
            with _Exactly():
                steps.step(loss)
            sound = all(bool(torch.isfinite(p).all()) for p in parameters)
        except (RuntimeError, ValueError):  # the factorisation failed in spite of GPyTorch's own jitter
            sound = False
        if not sound:
            self._model.load_state_dict(before)

    def condition(self, x: Array, basis: Array, y: Array) -> Prediction:
        """What the rows say about others. Raises ProcessError where their matrix cannot be factorised."""
        self._standardise(basis, y)
        rows = torch.from_numpy(x)
        with torch.no_grad():
            covariance = self._covariance(rows, rows)
            noise = self._likelihood.noise
            scale = self._model.kernel.outputscale
            for jitter in JITTER:
                factor, failed = torch.linalg.cholesky_ex(
                    covariance + (noise + jitter * scale) * torch.eye(len(rows), dtype=torch.float64)
                )
                if not failed and bool(torch.isfinite(factor).all()):
                    rest = torch.from_numpy(self._rest(basis, y))[:, None]
                    weights = torch.cholesky_solve(rest, factor)
                    return Prediction(self, rows, factor, weights)
        raise ProcessError(f"the covariance of {len(rows)} results has no Cholesky factor")

    def _covariance(self, one: Tensor, other: Tensor) -> Tensor:
        return self._model.kernel(self._model.scaled(one), self._model.scaled(other)).to_dense()

    def _standardise(self, basis: Array, y: Array) -> None:
        """Take centre, scale and mean from these rows."""
        self.centre, self.spread = float(np.mean(y)), float(np.std(y)) or 1.0
        pull = RIDGE * np.eye(basis.shape[1])
        pull[0, 0] = 1e-9
        target = (y - self.centre) / self.spread
        self._coefficients = np.linalg.solve(basis.T @ basis + pull, basis.T @ target)

    def _rest(self, basis: Array, y: Array) -> Array:
        return (y - self.centre) / self.spread - basis @ self._coefficients

    def mean_of(self, basis: Array) -> Array:
        """The part of the mean that is a function of the basis alone, in standard units."""
        return basis @ self._coefficients


class Prediction:
    """Means and standard deviations of the true quality, without the noise of a measurement."""

    def __init__(self, process: Process, rows: Tensor, factor: Tensor, weights: Tensor) -> None:
        self._process, self._rows, self._factor, self._weights = process, rows, factor, weights

    def mean(self, x: Array, basis: Array) -> Array:
        """(n,), in the units of the qualities."""
        with torch.no_grad():
            across = self._process._covariance(torch.from_numpy(x), self._rows)
            return self._in_units((across @ self._weights)[:, 0], basis)

    def mean_and_std(self, x: Array, basis: Array) -> tuple[Array, Array]:
        """Both (n,), in the units of the qualities."""
        with torch.no_grad():
            across = self._process._covariance(torch.from_numpy(x), self._rows)
            mean = self._in_units((across @ self._weights)[:, 0], basis)
            seen = torch.linalg.solve_triangular(self._factor, across.T, upper=False)
            variance = self._process._model.kernel.outputscale - seen.square().sum(dim=0)
            std = variance.clamp_min(1e-12).sqrt().numpy() * self._process.spread
        return mean, std

    def _in_units(self, rest: Tensor, basis: Array) -> Array:
        process = self._process
        return (process.mean_of(basis) + rest.numpy()) * process.spread + process.centre


class _Exactly:
    """GPyTorch by Cholesky at every size, and without its warnings of added jitter."""

    def __enter__(self) -> None:
        self._settings = [
            warnings.catch_warnings(),
            gpytorch.settings.fast_computations(False, False, False),
            gpytorch.settings.max_cholesky_size(MOST_FITTED),
        ]
        for setting in self._settings:
            setting.__enter__()
        warnings.simplefilter("ignore")

    def __exit__(self, *raised: object) -> None:
        for setting in reversed(self._settings):
            setting.__exit__(*raised)
