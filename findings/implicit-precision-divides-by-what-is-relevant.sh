#!/usr/bin/env bash
# implicit's precision@K does not divide by K, but by the number of relevant items where that is smaller.
#
# Versions: implicit 0.7.3 (PyPI), numpy 2.4.6, scipy 1.17.1, Python 3.10-3.12.
# Expected: precision@K is the share of the K recommended items that are relevant: with one right item in a list of ten
#   it is .1, and it cannot be above that for users who have one relevant item.
# Seen: 1.0 for such users: `precision_at_k` and the "precision" of `ranking_metrics_at_k` are hits over the sum of
#   min(K, relevant items), a recall. For users of one relevant item each it is the hit rate.
# Exit 0 while implicit behaves so, 1 when it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'implicit==0.7.3' 'numpy==2.4.6' 'scipy==1.17.1'

cat > try.py <<'PYTHON'
import numpy as np
from implicit.evaluation import precision_at_k, ranking_metrics_at_k
from scipy.sparse import csr_matrix


class FirstItems:
    """Recommends items 0 ... N-1 to everyone."""

    def recommend(self, users, user_items, N=10, **options):
        return np.tile(np.arange(N, dtype=np.int32), (len(users), 1)), np.ones((len(users), N), np.float32)


def found(relevant):
    """Return (implicit's precision@10, the share of the ten that are relevant); a list of relevant items a user."""
    rows = np.repeat(np.arange(len(relevant)), [len(items) for items in relevant])
    test = csr_matrix((np.ones(len(rows), np.float32), (rows, np.concatenate(relevant))), (len(relevant), 30))
    train = csr_matrix((len(relevant), 30), dtype=np.float32)
    options = {"K": 10, "show_progress": False, "num_threads": 1}
    precision = precision_at_k(FirstItems(), train, test, **options)
    assert precision == ranking_metrics_at_k(FirstItems(), train, test, **options)["precision"]
    return precision, float(np.mean([sum(item < 10 for item in items) / 10 for items in relevant]))


for relevant, seen in (([[0], [7]], 1.0), ([[0], [20]], 0.5), ([[0], [0, 20], [5, 6, 7]], 5 / 6)):
    precision, share = found(relevant)
    print(f"RESULT relevant {relevant}, recommended 0 to 9: precision@10 {share:.4f}, implicit's {precision:.4f}")
    assert abs(precision - seen) < 1e-9, "implicit has changed"
PYTHON
venv/bin/python try.py > log 2>&1 || { cat log; exit 1; }
grep RESULT log
echo "implicit's precision@K still divides by the relevant items"
