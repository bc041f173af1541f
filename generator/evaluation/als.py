"""Collaborative filtering on the purchase history, by the library implicit."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from generator.errors import DataError, pip_install
from generator.evaluation.baseline import Baseline, Popularity, Scores
from generator.evaluation.ranking import Ranking, Ties, joined, ranked
from generator.evaluation.rows import RowBatch, SplitRows

if TYPE_CHECKING:
    from implicit.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix

__all__ = ["Als", "interactions"]

BLOCK = 128  # rows multiplied at a time
TOGETHER = 4096  # items of users that are solved for together: what bounds the memory
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
            model = AlternatingLeastSquares(
                factors=self.factors,
                regularization=self.regularization,
                alpha=self.alpha,
                iterations=self.iterations,
                random_state=self.seed,
                num_threads=self.threads,
            )
            self._factors = _item_factors(model, matrix)
        wide = self._factors.astype(np.float64)
        gram = wide.T @ wide + self.regularization * np.eye(self.factors)
        self._solved = np.linalg.solve(gram, wide.T).T.copy()

    def scores(self, batch: RowBatch) -> Scores:
        """Return 1 and more for the items of the matrix, and the popularity of the others."""
        parts = [block.copy() for block in self._blocks(batch)]
        return np.concatenate([np.empty((0, len(self._known)), np.float32), *parts])

    def rank(self, batch: RowBatch, ties: Ties = "median") -> Ranking:
        """Return the rank of each row's label and the items recommended, some rows at a time."""
        starts = range(0, len(batch), BLOCK)
        parts = [
            ranked(block, batch.label[start : start + BLOCK], ties)
            for start, block in zip(starts, self._blocks(batch), strict=True)
        ]
        return joined(parts)

    def _blocks(self, batch: RowBatch) -> Iterator[Scores]:
        """Yield the scores of BLOCK rows after the other, each time in the same memory."""
        user, held = self._vectors(batch)
        order, room = self._popularity.order, np.empty((BLOCK, len(self._known)), np.float32)
        for start in range(0, len(batch), BLOCK):
            rows = slice(start, start + BLOCK)
            # Always as many rows in a product: BLAS adds up in another order for few, and bits would differ by batch.
            np.matmul(user[rows], self._factors.T, out=room)
            room += np.nextafter(1 - room.min(axis=1, keepdims=True), np.float32(np.inf))  # rounded up: 1 at least
            room[:, self._others] = order[self._others]
            block = room[: len(batch) - start]
            block[~held[rows]] = order
            yield block

    def _vectors(self, batch: RowBatch) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the vector of each row's user, in whole blocks, and which rows have an item of the matrix, (B,)."""
        row, item = batch.row, batch.item
        if self._by_purchase:
            row = np.repeat(np.arange(len(batch)), np.diff(batch.seen.bought_offset))
            item = batch.seen.bought.astype(np.int64)
        known = self._known[item]
        held = _matrix(row[known], item[known], (len(batch), len(self._known)))
        user = np.zeros((-(-len(batch) // BLOCK) * BLOCK, self.factors), np.float32)
        for rows, items in _by_size(held):
            for some in np.array_split(np.arange(len(rows)), -(-items.size // TOGETHER)):
                user[rows[some]] = self._folded_in(items[some])
        return user, np.diff(held.indptr) > 0

    def _folded_in(self, item: NDArray[np.int32]) -> NDArray[np.float64]:
        """Return the vectors of users with the items (R, n), (R, factors).

        With the factors Y of all items, those of a user's own y, G = YᵀY + regularization, and the confidence alpha,
        the vector is (G + (alpha - 1) yᵀy)⁻¹ yᵀ alpha. By the identity of Woodbury that is G⁻¹yᵀ times the answer of
        n equations, in place of one equation a factor: few, for users have few items.
        """
        solved = self._solved[item]
        inner = (self.alpha - 1) * (solved @ self._factors[item].astype(np.float64).transpose(0, 2, 1))
        inner[:, range(item.shape[1]), range(item.shape[1])] += 1
        weight = np.linalg.solve(inner, np.full((*item.shape, 1), self.alpha))
        found: NDArray[np.float64] = (weight.transpose(0, 2, 1) @ solved)[:, 0]
        return found


def _item_factors(model: "AlternatingLeastSquares", matrix: "csr_matrix") -> NDArray[np.float32]:
    """Return the factors of the items, (N+1, factors), that ``model.fit`` would find, for less work.

    Users with the same items have the same vector, which is solved for once: most sessions of a log are short, and many
    are alike. Where no two users are alike the bits are those of ``model.fit``.
    """
    random = np.random.default_rng(model.random_state)
    user, item = (np.float32(0.01) * random.random((count, model.factors), np.float32) for count in matrix.shape)
    chosen, alike = _distinct_rows(matrix)
    user = user[chosen]
    of_users = model.alpha * matrix
    of_items, of_users = of_users.T.tocsr(), of_users[chosen]
    for _ in range(model.iterations):
        model.solver(of_users, user, item, model.regularization, num_threads=model.num_threads)
        model.solver(of_items, item, user[alike], model.regularization, num_threads=model.num_threads)
    return item


def _distinct_rows(matrix: "csr_matrix") -> tuple[Ints, Ints]:
    """Return the first of the rows that hold the same items, ascending, and for each row which of these it is like."""
    first = np.arange(matrix.shape[0])
    for rows, items in _by_size(matrix):
        _, found, alike = np.unique(items, axis=0, return_index=True, return_inverse=True)
        first[rows] = rows[found][alike.reshape(-1)]
    return np.unique(first, return_inverse=True)


def _by_size(matrix: "csr_matrix") -> Iterator[tuple[Ints, NDArray[np.int32]]]:
    """Yield the rows that hold n items, (R,), and these, (R, n), for each n but 0."""
    size = np.diff(matrix.indptr)
    for count in np.unique(size[size > 0]):
        rows = np.flatnonzero(size == count)
        yield rows, matrix.indices[matrix.indptr[rows, None] + np.arange(count)]


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

    found = csr_matrix((np.ones(len(row), np.float32), (row, item)), shape)
    found.sum_duplicates()
    found.data[:] = 1
    return found
