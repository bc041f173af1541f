#!/usr/bin/env bash
# RecBole puts a session's clicks in the order of their times as float32: of clicks a minute apart the order is lost.
#
# Versions: RecBole 1.2.1, torch 2.13.0 (PyPI), numpy 1.26.4, pandas 2.2.3, Python 3.10-3.12.
# Expected: with `order: TO` (time order) a user's list of items is in the order of the field named as the time, which is
#   a column of the type `float`, as RecBole's own datasets have Unix times in seconds.
# Seen: five clicks, a minute apart, listed newest first in the file, come out as i3 i2 i1 i5 i4. The times are made
#   torch.float32 before they are sorted; near 1.4e9 neighbours there are 128 s apart, and equal times stay in the
#   order of the file. Times counted from the log's first click come out right; nothing is said in either case.
# Exit 0 while RecBole behaves so, 1 when it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'recbole==1.2.1' 'torch==2.13.0' 'numpy==1.26.4' \
    'scipy<1.14' 'pandas==2.2.3' 'setuptools<80'

cat > try.py <<'PYTHON'
from pathlib import Path

import numpy as np
from recbole.config import Config
from recbole.data import create_dataset, data_preparation


def lists(name, first):
    """Return the lists of items of a log of one user, who clicked on i1 ... i5, a minute apart."""
    clicks = [("anna", f"i{number}", first + 60 * number) for number in range(5, 0, -1)]
    Path(name).mkdir()
    lines = ["user_id:token\titem_id:token\ttimestamp:float"] + ["\t".join(map(str, click)) for click in clicks]
    Path(name, f"{name}.inter").write_text("\n".join(lines) + "\n")
    settings = {
        "data_path": ".",
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full", "group_by": "user"},
        "train_neg_sample_args": None,
    }
    config = Config(model="GRU4Rec", dataset=name, config_dict=settings)
    dataset = create_dataset(config)
    test = data_preparation(config, dataset)[2].dataset
    names = dataset.field2id_token["item_id"]
    row = test.inter_feat
    return [str(names[item]) for item in [*row["item_id_list"][0].tolist(), row["item_id"][0].item()] if item]


right = [f"i{number}" for number in range(1, 6)]
unix, counted = lists("unix", 1_396_828_812), lists("counted", 0)
print("RESULT by time:                    ", right)
print("RESULT RecBole, Unix times:        ", unix)
print("RESULT RecBole, times from 0:      ", counted)
assert counted == right, "RecBole has changed: times from 0"
as_float32 = sorted(reversed(right), key=lambda item: np.float32(1_396_828_812 + 60 * int(item[1])))
assert unix == as_float32 != right, "RecBole has changed: Unix times"
PYTHON
venv/bin/python try.py > log 2>&1 || { cat log; exit 1; }
grep RESULT log
echo "RecBole still orders clicks by their times as float32"
