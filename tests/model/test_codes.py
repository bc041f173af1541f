"""Codes of four bits: levels as good as they can be, and the largest products found by them."""

import subprocess
import sys

import numpy as np
import pytest

from generator.model.codes import ItemCodes, _levels

pytest.importorskip("faiss", reason="faiss is not installed: pip install 'drn-recommender[index]'")


@pytest.mark.parametrize(("name", "error"), [("normal", 0.009497), ("laplace", 0.01540), ("uniform", 1 / 256)])
def test_levels_are_those_of_the_least_error(name, error):
    """Per unit of variance, 16 levels: Max 1960, table I; Adams and Giesler 1978; a uniform one by hand."""
    column = getattr(np.random.default_rng(1), name)(size=200_000).astype(np.float32)
    levels = _levels(column)
    assert len(levels) == 16
    assert (np.diff(levels) > 0).all()
    found = np.square(column[:, None] - levels).min(axis=1).mean() / column.var()
    assert found == pytest.approx(error, rel=0.04)


@pytest.mark.parametrize("width", [2, 9, 64])
@pytest.mark.parametrize("wide", [0.0, 1.0, 30.0])
def test_the_largest_products_are_found(width, wide):
    draw = np.random.default_rng(width)
    rows = draw.normal(size=(20_000, width)).astype(np.float32)
    rows[:, -1] = wide * draw.standard_exponential(20_000)
    queries = draw.normal(size=(40, width)).astype(np.float32)
    queries[:, -1] = 1
    found = ItemCodes(rows).largest(queries, 400)
    best = np.argsort(-(queries @ rows.T), axis=1)[:, :20]
    assert np.mean([np.isin(one, other).mean() for one, other in zip(best, found, strict=True)]) >= 0.99


def test_equal_rows_and_few_are_no_fault():
    rows = np.ones((3, 4), np.float32)
    found = ItemCodes(rows).largest(np.ones((2, 4), np.float32), 3)
    assert found.shape == (2, 3)
    assert set(found.ravel()) <= {-1, 0, 1, 2}


def test_a_search_takes_no_other_core():
    """faiss would share the queries of a batch out among threads of its own, in each thread that asks anew."""
    asking = """
import os, threading
import numpy as np
from generator.model.codes import ItemCodes
codes, query = ItemCodes(np.ones((4000, 8), np.float32)), np.ones((32, 8), np.float32)

def ask():
    before = set(os.listdir("/proc/self/task"))
    codes.largest(query, 100)
    print(len(set(os.listdir("/proc/self/task")) - before))

threading.Thread(target=ask).start()
"""
    done = subprocess.run([sys.executable, "-c", asking], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "0\n"
