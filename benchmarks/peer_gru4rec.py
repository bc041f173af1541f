"""GRU4Rec as its authors train it, for peers.py: sessions side by side, a softmax over negatives that a batch shares.

There is no package of it. This is its net and its training in plain PyTorch: a GRU cell whose embedding is its output's
too, one update a step of all lanes with the state carried on but no gradient through it, negatives drawn by popularity
to a power, scores corrected by logQ, and AdaGrad that updates the rows it has read.
"""

from collections.abc import Iterator

import numpy as np
import torch
from peer_side import TOP, arguments, histories
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name

LONGEST = 30  # pages of a test session


class Net(nn.Module):
    """A GRU cell between an embedding and itself as the output's table."""

    def __init__(self, items: int, width: int, dropout: float) -> None:
        super().__init__()
        self.table = nn.Embedding(items + 1, width, sparse=True)
        self.bias = nn.Embedding(items + 1, 1, sparse=True)
        self.cell = nn.GRUCell(width, width)
        self.dropout = nn.Dropout(dropout)
        for name, weight in self.named_parameters():
            if "bias" in name:
                nn.init.zeros_(weight)
            else:  # a matrix of the cell is three, one above another
                rows, columns = weight.shape
                bound = (6 / ((rows // 3 if "cell" in name else rows) + columns)) ** 0.5
                nn.init.uniform_(weight, -bound, bound)


def lanes(offset: np.ndarray, count: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield a step of ``count`` sessions side by side: the view each is at, the lanes that go on, which of them begin.

    A session that ends makes way for the next; when none is left its lane goes.
    """
    begin, end = offset[:-1], offset[1:]
    count = min(count, len(begin))
    at, stop, coming = begin[:count].copy(), end[:count].copy(), count
    kept, fresh = np.arange(count), np.ones(count, bool)
    while len(at):
        yield at, kept, fresh
        at = at + 1
        fresh = at + 1 >= stop
        over = np.flatnonzero(fresh)
        taken = over[: len(begin) - coming]
        at[taken], stop[taken] = (each[coming : coming + len(taken)] for each in (begin, end))
        coming += len(taken)
        kept = np.setdiff1d(np.arange(len(at)), over[len(taken) :])
        at, stop, fresh = at[kept], stop[kept], fresh[kept]


def main() -> None:
    sessions, report, options = arguments()
    torch.manual_seed(options["seed"])
    random = np.random.default_rng(options["seed"])
    long = np.diff(sessions["train_offset"]) > 1
    page = torch.from_numpy(sessions["train_page"].astype(np.int64))[np.repeat(long, np.diff(sessions["train_offset"]))]
    offset = np.concatenate([[0], np.cumsum(np.diff(sessions["train_offset"])[long])])
    items, power, batch = int(sessions["items"]), options["power"], options["batch"]
    count = np.bincount(page.numpy(), minlength=items + 1)
    ends = np.cumsum(np.where(count > 0, np.maximum(count, 1.0) ** power, 0))
    log = torch.from_numpy(np.log(np.maximum(count, 1))).float()
    net = Net(items, options["width"], options["dropout"])
    optimizer = torch.optim.Adagrad(net.parameters(), options["lr"], initial_accumulator_value=1e-6)

    def train(_: int) -> None:
        net.train()
        state = torch.zeros(batch, options["width"])
        for at, kept, fresh in lanes(offset, batch):
            state = state.detach()[torch.from_numpy(kept)].masked_fill(torch.from_numpy(fresh)[:, None], 0)
            view = torch.from_numpy(at)
            label = page[view + 1]
            state = net.dropout(net.cell(net.table(page[view]), state))
            drawn = torch.from_numpy(ends.searchsorted(random.random(options["negatives"]) * ends[-1], "right"))
            scored = torch.cat([label, drawn])
            score = state @ net.table(scored).T + net.bias(scored)[:, 0]
            score = score - torch.cat([log[label], power * log[drawn]])
            loss = F.cross_entropy(score, torch.arange(len(label)), reduction="sum") / batch
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    @torch.no_grad()
    def rank(rows: int = 512) -> np.ndarray:
        net.eval()
        lists = []
        for first in range(0, len(sessions["test_offset"]) - 1, rows):
            asked = sessions["test_offset"][first : first + rows + 1]
            seen, length = map(torch.from_numpy, histories(asked, sessions["test_page"], LONGEST))
            state = torch.zeros(len(seen), options["width"])
            for place in range(int(length.max())):
                on = (place < length)[:, None]
                state = torch.where(on, net.cell(net.table(seen[:, place].long()), state), state)
            score = state @ net.table.weight.T + net.bias.weight[:, 0]
            score[:, 0] = -torch.inf
            lists.append(score.topk(TOP).indices.numpy())
        return np.concatenate(lists)

    report.epochs(options, train, rank)


if __name__ == "__main__":
    main()
