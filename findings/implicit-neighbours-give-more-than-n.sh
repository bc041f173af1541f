#!/usr/bin/env bash
# implicit's item-neighbour models give one user more than N items where filter_items or items is given.
#
# Versions: implicit 0.7.3 (PyPI), numpy 2.4.6, scipy 1.17.1, Python 3.10-3.12.
# Expected: recommend(user, ..., N=5) gives 5 items; filter_items leaves some out, items are those to choose from. So do
#   implicit's ALS, and the same model when it is asked for an array of users.
# Seen: with N=5 and four items to leave out 8 items, with 30 to choose from all 30. A hit rate at 5 taken
#   from such lists is one at 8, or at 30.
# Exit 0 while implicit behaves so, 1 when it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'implicit==0.7.3' 'numpy==2.4.6' 'scipy==1.17.1'

cat > try.py <<'PYTHON'
import numpy as np
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import CosineRecommender
from scipy.sparse import csr_matrix

user_items = csr_matrix((np.random.default_rng(0).random((50, 40)) < 0.3).astype(np.float32))
asked = {"nothing": {}, "filter_items": {"filter_items": [0, 1, 2, 3]}, "items": {"items": np.arange(10, 40)}}
found = {}
for model in (CosineRecommender(K=40, num_threads=1), AlternatingLeastSquares(8, random_state=0, num_threads=1)):
    name = type(model).__name__
    model.fit(user_items, show_progress=False)
    for what, options in asked.items():
        alone = model.recommend(0, user_items[0], N=5, **options)[0]
        among = model.recommend(np.arange(3), user_items[:3], N=5, **options)[0]
        found[name, what] = len(alone), among.shape[1]
        print(f"RESULT {name}, N=5, {what}: {len(alone)} items for a user alone, {among.shape[1]} for each of three")
assert all(found["AlternatingLeastSquares", what] == (5, 5) for what in asked), "implicit has changed: ALS"
assert found["CosineRecommender", "nothing"] == (5, 5), "implicit has changed: nothing to filter"
assert found["CosineRecommender", "filter_items"] == (8, 5), "implicit has changed: filter_items"
assert found["CosineRecommender", "items"] == (30, 5), "implicit has changed: items"
PYTHON
venv/bin/python try.py > log 2>&1 || { cat log; exit 1; }
grep RESULT log
echo "implicit's neighbours still give one user more than N items"
