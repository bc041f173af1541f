"""drn's recurrent net as one would write it in plain PyTorch, for peers.py: a sampled softmax, sparse gradients."""

import numpy as np
import torch
from peer_side import TOP, arguments, histories
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name

LONGEST = 20  # pages of a session


class Net(nn.Module):
    """Embedding, nn.RNN with ReLU, and the embedding again as the output's table."""

    def __init__(self, items: int, width: int, dropout: float) -> None:
        super().__init__()
        self.table = nn.Embedding(items + 1, width, sparse=True)
        self.bias = nn.Embedding(items + 1, 1, sparse=True)
        self.rnn = nn.RNN(width, width, nonlinearity="relu", batch_first=True)
        self.project = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.table.weight, std=0.05)
        nn.init.zeros_(self.bias.weight)

    def forward(self, page: torch.Tensor) -> torch.Tensor:
        states, _ = self.rnn(self.dropout(self.table(page)))
        return self.project(self.dropout(states))


class Popularity:
    """Negatives drawn by count to the power .75, and the logarithm of how often each is to be expected."""

    def __init__(self, page: np.ndarray, items: int, negatives: int) -> None:
        weight = (np.bincount(page, minlength=items + 1) + 1.0) ** 0.75
        weight[0] = 0
        self.ends, self.negatives = np.cumsum(weight), negatives
        self.log = torch.from_numpy(np.log(np.maximum(negatives * weight / weight.sum(), 1e-30))).float()
        self.random = np.random.default_rng(1)

    def draw(self) -> torch.Tensor:
        return torch.from_numpy(self.ends.searchsorted(self.random.random(self.negatives) * self.ends[-1], "right"))


def loss_of(net: Net, page: torch.Tensor, popularity: Popularity) -> torch.Tensor:
    """Return the mean loss of the next pages of a batch of sessions."""
    state, label = net(page[:, :-1]), page[:, 1:]
    state, label = state[label > 0], label[label > 0]
    drawn = popularity.draw()
    right = (state * net.table(label)).sum(1) + net.bias(label)[:, 0]
    others = state @ net.table(drawn).T + net.bias(drawn)[:, 0] - popularity.log[drawn]
    others = others.masked_fill(drawn == label[:, None], -1e30)
    return F.cross_entropy(torch.cat([right[:, None], others], 1), torch.zeros(len(label), dtype=torch.long))


def main() -> None:
    sessions, report, options = arguments()
    torch.manual_seed(options["seed"])
    items = int(sessions["items"])
    page, _ = histories(sessions["train_offset"], sessions["train_page"], LONGEST)
    page = torch.from_numpy(page[np.diff(sessions["train_offset"]) > 1].astype(np.int64))
    net = Net(items, options["width"], options["dropout"])
    popularity = Popularity(sessions["train_page"], items, options["negatives"])
    tables = [net.table.weight, net.bias.weight]
    dense = [*net.rnn.parameters(), *net.project.parameters()]
    optimizers = [torch.optim.SparseAdam(tables, options["lr"]), torch.optim.Adam(dense, options["lr"])]

    def train(_: int) -> None:
        net.train()
        for rows in torch.randperm(len(page)).split(options["batch"]):
            batch = page[rows]
            batch = batch[:, : int((batch > 0).sum(1).max())]
            loss = loss_of(net, batch, popularity)
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()

    @torch.no_grad()
    def rank(rows: int = 512) -> np.ndarray:
        net.eval()
        seen, length = histories(sessions["test_offset"], sessions["test_page"], LONGEST)
        lists = []
        for first in range(0, len(seen), rows):
            last = torch.from_numpy(np.maximum(length[first : first + rows], 1) - 1)
            state = net(torch.from_numpy(seen[first : first + rows].astype(np.int64)))[torch.arange(len(last)), last]
            scores = state @ net.table.weight.T + net.bias.weight[:, 0]
            scores[:, 0] = -torch.inf
            lists.append(scores.topk(TOP).indices.numpy())
        return np.concatenate(lists)

    report.epochs(options, train, rank)


if __name__ == "__main__":
    main()
