"""Which library fits the surrogate's Gaussian process: seconds, and how well the fit predicts.

python tests/benchmarks/surrogate_fit.py [--landscapes 3] [--results 50 100 300] [--most 120]

The same results of the made-up landscapes (``nas.simulation.synthetic_landscape``), encoded in the same way,
are fitted by ``nas.samplers.process`` (GPyTorch, a length scale for each axis with a prior), by scikit-learn
(a length scale for each column; it has no priors) and, where it is installed, by BoTorch's SingleTaskGP as it
comes. Each predicts 500 other genotypes: root mean square error in dB, and Kendall's rank correlation. A
library is not asked for more results once a fit has taken ``--most`` seconds.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import kendalltau

from nas.samplers.candidates import Candidates
from nas.samplers.encoding import Encoding
from nas.samplers.process import Process
from nas.simulation.synthetic_landscape import SPACE, Landscape

Array = NDArray[np.float64]
Fit = Callable[[Array, Array, NDArray[np.intp]], Callable[[Array], Array]]


def by_gpytorch(x: Array, y: Array, groups: NDArray[np.intp]) -> Callable[[Array], Array]:
    process = Process(groups)
    process.fit(x, np.ones((len(x), 1)), y)
    predicted = process.condition(x, np.ones((len(x), 1)), y)
    return lambda at: predicted.mean(at, np.ones((len(at), 1)))


def by_scikit_learn(x: Array, y: Array, groups: NDArray[np.intp]) -> Callable[[Array], Array]:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    kernel = ConstantKernel(1.0) * Matern(np.full(x.shape[1], 3.0), (0.05, 100), nu=2.5)
    model = GaussianProcessRegressor(kernel + WhiteKernel(0.02, (1e-5, 1)), normalize_y=True)
    model.fit(x, y)
    return lambda at: np.asarray(model.predict(at))


def by_botorch(x: Array, y: Array, groups: NDArray[np.intp]) -> Callable[[Array], Array]:
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from gpytorch.mlls import ExactMarginalLogLikelihood

    model = SingleTaskGP(torch.from_numpy(x), torch.from_numpy(y)[:, None])
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))

    def predict(at: Array) -> Array:
        with torch.no_grad():
            return np.asarray(model.posterior(torch.from_numpy(at)).mean[:, 0])

    return predict


LIBRARIES: dict[str, Fit] = {"gpytorch": by_gpytorch, "sklearn": by_scikit_learn, "botorch": by_botorch}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--landscapes", type=int, default=3)
    parser.add_argument("--results", type=int, nargs="+", default=[50, 100, 300])
    parser.add_argument("--most", type=float, default=120)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    by_gpytorch(np.eye(4), np.arange(4.0), np.arange(4))  # imports what it needs
    print(f"{'library':<10}{'results':>9}{'fit s':>9}{'error dB':>10}{'rank':>7}")
    for name, fit in LIBRARIES.items():
        if importlib.util.find_spec(name) is None:
            print(f"{name:<10} is not installed")
            continue
        for results in options.results:
            seconds, errors, ranks = [], [], []
            for number in range(options.landscapes):
                surface = Landscape(number)
                made = Candidates(SPACE.suggest, surface.price, surface.inside, number)
                ones = made.gather(results + 500)
                encoding = Encoding(made.distributions)
                logs = np.log([one.costs[0] for one in ones])[:, None]
                x = np.hstack((encoding.rows(ones), (logs - logs.min()) / np.ptp(logs)))
                groups = np.append(encoding.groups, encoding.groups.max() + 1)
                truth = np.array([surface.truth_db(one.key) for one in ones])
                y = np.array([surface.measured_db(one.key, -1, number) for one in ones[:results]])
                centre, spread = y.mean(), y.std()
                start = time.perf_counter()
                predict = fit(x[:results], (y - centre) / spread, groups)
                seconds.append(time.perf_counter() - start)
                found = predict(x[results:]) * spread + centre
                errors.append(float(np.sqrt(np.mean((found - truth[results:]) ** 2))))
                ranks.append(float(kendalltau(found, truth[results:])[0]))
            row = statistics.mean(seconds), statistics.mean(errors), statistics.mean(ranks)
            print(f"{name:<10}{results:>9}{row[0]:>9.2f}{row[1]:>10.3f}{row[2]:>7.2f}", flush=True)
            if max(seconds) > options.most:
                break


if __name__ == "__main__":
    main()
