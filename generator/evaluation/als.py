"""Collaborative filtering on the purchase history, by the library implicit."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from generator.errors import DataError, pip_install
from generator.evaluation.baseline import Baseline, Popularity, Scores
from generator.evaluation.rows import RowBatch, SplitRows

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["Als", "interactions"]

BLOCK = 64  # rows multiplied at a time
Ints = NDArray[np.int64]


class Als(Baseline):
    """Alternating least squares of implicit feedback: what users with such purchases bought; the rest by popularity.

    For the target `purchase` the matrix is users x items of the training split: what its sessions bought, and what
    their users had bought before. The vector of a row's user is solved from what the user bought in earlier sessions
    and nothing else, so the session itself plays no part. A user without a number is a user of one session.

    For `next` there is no purchase to learn from: the matrix is sessions x items viewed, and the vector is solved
    from the items the session has shown so far.

    An item outside the matrix, and a row with no item inside it, has its popularity.

    Parameters
    ----------
    factors, regularization, alpha, iterations : of `implicit.als.AlternatingLeastSquares`, whose defaults they are but
        for alpha, which is the source's
    seed : of the first factors
    threads : of implicit; 0 takes all cores

    Raises
    ------
    DataError : implicit is not installed. `drn evaluate --baselines all` ends with it too: a table that lacks a line
        on some machines would be no comparison.

    Notes
    -----
    The state is items x factors; fitting takes (users + items) x factors. The answer depends on no number of threads.

    Source: Hu, Koren, Volinsky: Collaborative Filtering for Implicit Feedback Datasets, 2008.
    """

    name = "als"
    default = False

    def __init__(
        self,
        factors: int = 100,
        regularization: float = 0.01,
        alpha: float = 40,
        iterations: int = 15,
        seed: int = 0,
        threads: int = 0,
    ) -> None:
        try:
            import implicit.als  # noqa: F401
        except ImportError as error:
            raise DataError(
                f"the baseline als needs implicit, which is not installed: {pip_install('eval')}, "
                "or name the other baselines"
            ) from error
        self.factors, self.regularization, self.alpha = factors, regularization, alpha
        self.iterations, self.seed, self.threads = iterations, seed, threads

    def fit(self, train: SplitRows) -> None:
        """Factorise the matrix of the training split."""
        from implicit.als import AlternatingLeastSquares
        from threadpoolctl import threadpool_limits

        self._popularity = Popularity()
        self._popularity.fit(train)
        matrix, self._by_purchase = interactions(train)
        self._known = np.bincount(matrix.indices, minlength=matrix.shape[1]) > 0
        self._others = np.flatnonzero(~self._known)
        with threadpool_limits(1, "blas"):  # implicit has threads of its own, and warns of those of BLAS
            self._model = AlternatingLeastSquares(
                factors=self.factors,
                regularization=self.regularization,
                alpha=self.alpha,
                iterations=self.iterations,
                random_state=self.seed,
                num_threads=self.threads,
            )
            self._model.fit(matrix, show_progress=False)
        self._model.user_factors = None  # as long as the training split, and never read again
        self._factors = self._model.item_factors

    def scores(self, batch: RowBatch) -> Scores:
        """Return 1 and more for the items of the matrix, and the popularity of the others."""
        row, item = batch.row, batch.item
        if self._by_purchase:
            row = np.repeat(np.arange(len(batch)), np.diff(batch.seen.bought_offset))
            item = batch.seen.bought.astype(np.int64)
        known = self._known[item]
        rows, place = np.unique(row[known], return_inverse=True)
        # Always as many rows in a product: BLAS adds up in another order for few, and bits would differ by the batch.
        whole = -(-len(batch) // BLOCK) * BLOCK
        user = np.zeros((whole, self._factors.shape[1]), np.float32)
        if len(rows):
            user[rows] = self._model.recalculate_user(rows, _matrix(place, item[known], (len(rows), len(self._known))))
        found, order = np.empty((whole, len(self._known)), np.float32), self._popularity.order
        for start in range(0, len(batch), BLOCK):
            block = found[start : start + BLOCK]
            np.matmul(user[start : start + BLOCK], self._factors.T, out=block)
            block += 1 - block.min(axis=1, keepdims=True)
            block[:, self._others] = order[self._others]
        found = found[: len(batch)]
        found[np.bincount(rows, minlength=len(batch)) == 0] = order
        return found


def interactions(train: SplitRows) -> "tuple[csr_matrix, bool]":
    """Return the matrix to factorise, float32, 1 at each purchase, or at each view, and whether it is of purchases.

    It is (users, N+1) for the target `purchase` and (sessions, N+1) for `next`; column 0 is empty.
    """
    sessions = train.sessions()
    every, width = np.arange(len(sessions)), train.item_ids + 1
    if sessions.label is None:
        owner, item = np.repeat(every, np.diff(sessions.offset)), train.items_of(sessions.page)
    else:
        one_off = int(sessions.user.max(initial=-1)) + 1 + every  # numbers no user has
        _, user = np.unique(np.where(sessions.user < 0, one_off, sessions.user), return_inverse=True)
        owner = np.concatenate([user, np.repeat(user, np.diff(sessions.bought_offset))])
        item = np.concatenate([sessions.label, sessions.bought])
    shape = int(owner.max(initial=-1)) + 1, width
    return _matrix(owner[item > 0], item[item > 0], shape), sessions.label is not None


def _matrix(row: Ints, item: NDArray[np.integer[Any]], shape: tuple[int, int]) -> "csr_matrix":
    """Return a matrix with 1 at each (row, item), however often it is given."""
    from scipy.sparse import csr_matrix

    row, item = np.divmod(np.unique(row * shape[1] + item), shape[1])
    return csr_matrix((np.ones(len(row), np.float32), (row, item)), shape)
