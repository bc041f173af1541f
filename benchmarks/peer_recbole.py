"""A model of RecBole at its own settings, for peers.py: trained on every prefix of a session, as its sessions are."""

import logging
import tempfile
from pathlib import Path

import numpy as np
import torch
from peer_side import TOP, arguments, histories
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, get_trainer, init_seed

LONGEST = 50  # RecBole's MAX_ITEM_LIST_LENGTH, to which it does not cut lists that are given as such


def prefixes(offset: np.ndarray, page: np.ndarray, longest: int) -> list[str]:
    """Return a line for every page but the first of a session: the ``longest`` pages before it, and itself."""
    return [
        f"{session}\t{' '.join(map(str, page[max(first, at - longest) : at]))}\t{page[at]}\n"
        for session, (first, stop) in enumerate(zip(offset[:-1].tolist(), offset[1:].tolist(), strict=True))
        for at in range(first + 1, stop)
    ]


def write(folder: Path, sessions: dict[str, np.ndarray], longest: int) -> None:
    """Write the atomic files; RecBole wants a validation part and a test part, which are not looked at."""
    (folder / "log").mkdir()
    lines = prefixes(sessions["train_offset"], sessions["train_page"], longest)
    # One line holds every item, so that each has an id.
    every = [f"{len(lines)}\t{item}\t{item}\n" for item in range(1, int(sessions["items"]) + 1)]
    head = "session_id:token\titem_id_list:token_seq\titem_id:token\n"
    for part, kept in (("train", lines), ("valid", every), ("test", every[:1])):
        (folder / "log" / f"log.{part}.inter").write_text(head + "".join(kept))


def main() -> None:
    sessions, report, options = arguments()
    chosen = {"MAX_ITEM_LIST_LENGTH": LONGEST, **options.get("settings", {})}
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), sessions, chosen["MAX_ITEM_LIST_LENGTH"])
        settings = {
            "data_path": name,
            "benchmark_filename": ["train", "valid", "test"],
            "USER_ID_FIELD": "session_id",
            "ITEM_ID_FIELD": "item_id",
            "load_col": {"inter": ["session_id", "item_id_list", "item_id"]},
            "alias_of_item_id": ["item_id_list"],
            "train_neg_sample_args": None,
            "show_progress": False,
            "use_gpu": False,
            "seed": options["seed"],
            **chosen,
        }
        config = Config(model=options["model"], dataset="log", config_dict=settings)
        logging.disable()
        init_seed(options["seed"], reproducibility=True)
        dataset = create_dataset(config)
        train, _, _ = data_preparation(config, dataset)
        model = get_model(config["model"])(config, train.dataset)
        trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    tokens = dataset.field2id_token["item_id"]
    id_of = np.zeros(int(sessions["items"]) + 1, np.int64)
    id_of[[int(token) for token in tokens[1:]]] = np.arange(1, len(tokens))
    longest = dataset.field2seqlen["item_id_list"]  # of training: some models have no place for more
    item_of = np.array([0, *map(int, tokens[1:])])

    @torch.no_grad()
    def rank(rows: int = 512) -> np.ndarray:
        model.eval()
        offset, page, lists = sessions["test_offset"], id_of[sessions["test_page"]], []
        for first in range(0, len(offset) - 1, rows):
            seen, length = map(torch.from_numpy, histories(offset[first : first + rows + 1], page, longest))
            asked = {"item_id_list": seen, "item_length": length.clamp(min=1)}
            scores = model.full_sort_predict(asked).view(len(length), -1)
            scores[:, 0] = -torch.inf
            lists.append(item_of[scores.topk(TOP).indices.numpy()])
        return np.concatenate(lists)

    report.epochs(options, lambda epoch: trainer._train_epoch(train, epoch, show_progress=False), rank)


if __name__ == "__main__":
    main()
