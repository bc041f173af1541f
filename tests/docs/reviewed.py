"""What of the documented commands is run shortened, or not at all: each with its reason, looked at in review.

A rule that no block needs any more fails the tests, so that these lists stay as short as they can be.
"""

# A pattern in a line of a block, what the tests run in its place, and why.
SHORTER = [
    (r"^make (\w+)$", r"make --dry-run \1", "the suite in the suite; what make demo runs is compared with the README"),
    (r"\.venv/bin/", "", "the commands of the environment the tests run in"),
    (r"--sessions 100000\b", "--sessions 3000", "seconds, not a minute"),
    (
        r"^(drn train (?!.*max_iter).*)$",
        r"\1 --set solver.max_iter=40 --set solver.snapshot=20",
        "not a whole training",
    ),
    (r"solver\.max_iter=\d{4,}", "solver.max_iter=60", "the same, where training goes on"),
    (r"_iter_\d{4}\.", "_iter_40.", "the snapshot at the end of the shorter training"),
    (r"^(drn loop .*) --every 60$", r"\1 --set solver.max_iter=40", "rounds without an end: one, and a short one"),
]

# How a line begins that is not run, and why.
NOT_RUN = {
    "pip install": "wants the network; tests/packaging installs the wheel",
    "bash tests/oracles/install_caffe.sh": "wants the network; .ci/run runs it",
    "bash tests/oracles/install_readers.sh": "the same",
    "bash tests/oracles/heavy_readers.sh": "installs 2.5 GB",
    "drn export runs/shop --web": "wants the network for npm; tests/export gives it the runtime",
    "pytest": "the suite in the suite",
    "ruff": "make lint",
    "drn tune": "120 trainings; tests/tuning runs smaller plans",
    "gen-model build/tune/best.yaml": "what drn tune leaves",
    "drn experiment": "a minute of training; tests/experiment runs smaller plans",
}

# What a line that begins so needs first, and why.
VISIT = "curl -H 'Content-Type: application/json' -d"
BEFORE = {
    "drn sessions --from": (
        "for s in 1 2 3 4 5 6 7 8 9 10 11 12; do "
        f"""{VISIT} '{{"page": "item-1"}}' localhost:8000/v1/sessions/b$s/visits; """
        f"""{VISIT} '{{"page": "item-2"}}' localhost:8000/v1/sessions/b$s/visits; """
        f"""{VISIT} '{{"item": "item-2"}}' localhost:8000/v1/sessions/b$s/purchases; done""",
        "there is something to learn from: the pages erase the user that they have shown",
    ),
}

# Where a file that a page takes for granted comes from: a log in the layout of the published one.
CLICKS = ("train_full.tsv.gz", "test.tsv.gz")
