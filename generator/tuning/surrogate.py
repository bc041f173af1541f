"""A surrogate of training: a Gaussian process over genes and the share of the training, by numpy alone."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from generator.tuning.genes import GeneParameter
from generator.tuning.space import Space

__all__ = ["Floats", "Surrogate", "coordinates"]

Floats = npt.NDArray[np.float64]

PROPOSALS = 60  # settings of the kernel that are tried at a fit
JITTER = 1e-8


class Surrogate:
    """What a training of given genes may come to, learned from those made, some of them in part.

    The prior covariance of the figures of genes x after share s and of x' after s' is, with l = |log s - log s'|,
    ``a·exp(-l) + M(d)·exp(-c·l)``: how far trainings are on the whole after a share, and how genes differ. M is the
    Matern kernel with 5/2, and d² = Σ w_i·(x_i - x'_i)², where genes without an order count as 0 or 1 apart. Its
    settings w, c, a and the variance of the noise are those of the highest posterior density among random proposals
    around the last ones (Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, chapters 2 and 5).

    Parameters
    ----------
    ordered
        Of each gene, whether near values are alike.
    seed
        Of the proposals.
    """

    def __init__(self, ordered: Sequence[bool], seed: int) -> None:
        self._ordered = np.array(ordered)
        self._rng = np.random.default_rng(seed)
        # Logarithms of w, c, a and the noise's variance: of the prior's centre, and its spreads.
        count = len(ordered)
        self._centre = np.log(np.array([1.5 / math.sqrt(count)] * count + [0.3, 0.5, 0.02]))
        self._spread = np.array([1.2] * count + [0.8, 1.0, 1.0])
        self._settings = self._centre.copy()

    def fit(self, points: Floats, shares: Floats, figures: Floats, *, settle: bool = True) -> None:
        """Learn from the figures of trainings.

        Parameters
        ----------
        points
            Genes (n, genes), 0 to 1.
        shares
            Of the trainings (n,), above 0.
        figures
            What they came to (n,).
        settle
            Whether the settings of the kernel are looked for anew.
        """
        self._points, self._logs = points, np.log(shares)
        self._mean, self._scale = float(figures.mean()), float(figures.std()) or 1.0
        target = (figures - self._mean) / self._scale
        apart = self._apart(points, points)
        spans = np.abs(self._logs[:, None] - self._logs[None, :])
        if settle:
            proposals = self._proposals()
            densities = [self._density(one, apart, spans, target) for one in proposals]
            self._settings = proposals[int(np.argmax(densities))]
        covariance = self._covariance(apart, spans) + self._noise * np.eye(len(target))
        self._factor = np.asarray(np.linalg.cholesky(covariance))
        self._weights = np.linalg.solve(self._factor.T, np.linalg.solve(self._factor, target))

    def mean(self, points: Floats, share: float = 1.0) -> Floats:
        """Return the expected figures (m,) at ``points`` (m, genes) after ``share``."""
        return np.asarray(self._mean + self._scale * (self._beside(points, share) @ self._weights))

    def predict(self, points: Floats, share: float = 1.0) -> tuple[Floats, Floats]:
        """Return mean (m,) and covariance (m, m) of the figures at ``points`` (m, genes) after ``share``."""
        own = self._covariance(self._apart(points, points), np.zeros((1, 1)))
        half = np.linalg.solve(self._factor, self._beside(points, share).T)
        return self.mean(points, share), self._scale**2 * (own - half.T @ half)

    def _beside(self, points: Floats, share: float) -> Floats:
        """Return the covariance (m, n) of ``points`` after ``share`` with what was learned from."""
        return self._covariance(self._apart(points, self._points), np.abs(math.log(share) - self._logs)[None, :])

    @property
    def _noise(self) -> float:
        return math.exp(self._settings[-1]) + JITTER

    def _proposals(self) -> Floats:
        """Return settings to try: the last ones, and others near and far."""
        far = self._centre + self._spread * self._rng.standard_normal((PROPOSALS // 3, len(self._centre)))
        near = self._settings + 0.3 * self._spread * self._rng.standard_normal(
            (PROPOSALS - len(far) - 1, len(self._centre))
        )
        return np.vstack([self._settings, near, far])

    def _apart(self, one: Floats, other: Floats) -> Floats:
        """Return the squared differences (genes, n, m) of every gene."""
        difference = one.T[:, :, None] - other.T[:, None, :]
        squared = difference * difference
        squared[~self._ordered] = difference[~self._ordered] != 0.0
        return np.asarray(squared)

    def _covariance(self, apart: Floats, spans: Floats, settings: Floats | None = None) -> Floats:
        """Return the covariance without noise, of squared differences (genes, n, m) and spans of log shares (n, m)."""
        own = np.exp(self._settings if settings is None else settings)
        root = np.sqrt(5 * np.tensordot(own[:-3], apart, 1))
        matern = (1 + root + root**2 / 3) * np.exp(-root)
        return np.asarray(own[-2] * np.exp(-spans) + matern * np.exp(-own[-3] * spans))

    def _density(self, settings: Floats, apart: Floats, spans: Floats, target: Floats) -> float:
        """Return the logarithm of the settings' posterior density, up to a constant."""
        noise = math.exp(settings[-1]) + JITTER
        covariance = self._covariance(apart, spans, settings) + noise * np.eye(len(target))
        try:
            factor = np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError:
            return -math.inf
        half = np.linalg.solve(factor, target)
        likelihood = -0.5 * float(half @ half) - float(np.log(np.diag(factor)).sum())
        return likelihood - 0.5 * float((((settings - self._centre) / self._spread) ** 2).sum())


def coordinates(space: Space, parameters: Mapping[str, GeneParameter], genome: Mapping[str, Any]) -> list[float]:
    """Return where a genome lies, gene by gene, 0 to 1; what its net or its list does not read is at 0."""
    read = space.readable(genome)
    return [0.0 if read[name] is None else each.place(genome[name]) for name, each in parameters.items()]
