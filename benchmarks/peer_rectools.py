"""RecTools' SASRec at its own settings, for peers.py: a session is a user, a test row one that has come so far."""

import warnings

import numpy as np
import pandas as pd
from peer_side import TOP, arguments
from pytorch_lightning import seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel

# A user with no known item gets no list, and RecTools says so.
warnings.filterwarnings("ignore", message=".*considered cold.*")


def interactions(offset: np.ndarray, page: np.ndarray) -> Dataset:
    """Return what users saw, a day after a day: RecTools wants times, of which it takes the order."""
    user = np.repeat(np.arange(len(offset) - 1), np.diff(offset))
    day = np.arange(len(page)) - offset[user]
    frame = pd.DataFrame(
        {Columns.User: user, Columns.Item: page, Columns.Weight: 1.0, Columns.Datetime: pd.to_datetime(day, unit="D")}
    )
    return Dataset.construct(frame)


def main() -> None:
    sessions, report, options = arguments()
    seed_everything(options["seed"])
    train = interactions(sessions["train_offset"], sessions["train_page"])
    test = interactions(sessions["test_offset"], sessions["test_page"])
    rows = len(sessions["test_offset"]) - 1
    users = np.flatnonzero(np.diff(sessions["test_offset"]))
    model = SASRecModel(**options.get("model", {}))

    def rank() -> np.ndarray:
        lists = np.zeros((rows, TOP), np.int64)
        found = model.recommend(users, test, k=TOP, filter_viewed=False, on_unsupported_targets="ignore")
        lists[found[Columns.User], found[Columns.Rank] - 1] = found[Columns.Item]
        return lists

    report.epochs(options, lambda _: model.fit_partial(train, min_epochs=1, max_epochs=1), rank)


if __name__ == "__main__":
    main()
