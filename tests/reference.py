"""The nets in PyTorch, written from the equations alone: one session state after the other, no template in sight."""

import math

import numpy as np
import torch
from torch.nn import functional

from generator.spec.schema import Spec


def logits(spec: Spec, weights: dict[str, torch.Tensor], blobs: dict[str, torch.Tensor]) -> torch.Tensor:
    """z at every state, (B, n, N+1); for a net without states (B, 1, N+1)."""
    z = weights["output_bias"]
    if spec.has_fnn:
        rows = weights["bought_embedding"][blobs["bought"]]
        g = torch.relu((blobs["bought_weight"][..., None] * rows).sum(1) + weights["fnn1_bias"])
        for k in range(2, len(spec.fnn.widths) + 1):
            g = torch.relu(g @ weights[f"fnn{k}_weight"].T + weights[f"fnn{k}_bias"])
        z = z + (g @ weights["output_fnn_weight"].T)[:, None]
    if spec.has_rnn:
        table = weights["page_embedding" if spec.head.tied else "output_rnn_weight"]
        z = z + _outputs(spec, weights, blobs) @ table.T
    return z[..., : spec.items + 1]  # a tied table has a row for the slots, which the net does not score


def _outputs(spec: Spec, weights: dict[str, torch.Tensor], blobs: dict[str, torch.Tensor]) -> torch.Tensor:
    """What the output's table multiplies at every state: the topmost layer, or A·h + S·x."""
    visit = weights["page_embedding"][blobs["page"]]
    # Dropout is given as masks over the states of one session after the other: 0 or 1 / (1 - ratio).
    visit = visit * _by_state(blobs.get("visit_dropout"), spec)
    top = _states(spec, weights, blobs, visit)
    if "top_dropout" in blobs:
        mask = _by_state(blobs["top_dropout"], spec) if spec.loss == "every" else blobs["top_dropout"][:, None]
        top = top * mask
    if spec.head.projection:
        top = top @ weights["projection_weight"].T
    if spec.head.skip:
        top = top + (visit * (blobs["page"] > 0)[..., None].to(visit.dtype)) @ weights["skip_weight"].T
    return top


def _by_state(mask: torch.Tensor | None, spec: Spec) -> torch.Tensor | float:
    return 1.0 if mask is None else mask.reshape(-1, spec.window, mask.shape[-1])


def _states(
    spec: Spec, weights: dict[str, torch.Tensor], blobs: dict[str, torch.Tensor], visit: torch.Tensor
) -> torch.Tensor:
    table = weights["page_embedding"]
    inputs = [(visit[:, t], blobs["page"][:, t] > 0) for t in range(spec.window)]
    if spec.history:
        bag = (blobs["history_weight"][..., None] * table[blobs["history_page"]]).sum(1)
        inputs.insert(0, (bag, (blobs["history_page"] > 0).any(1)))
    before: list[torch.Tensor | None] = [None] * len(spec.rnn.widths)
    tops = []
    for x, present in inputs:
        below = x
        for index in range(len(spec.rnn.widths)):
            layer = f"hidden{index + 1}"
            total = below if index == 0 else below @ weights[f"{layer}_input_weight"].T
            total = total + weights[f"{layer}_bias"]
            if before[index] is not None:
                total = total + before[index] @ weights[f"{layer}_recurrent_weight"].T
            below = before[index] = torch.relu(total) * present[:, None].to(total.dtype)
        tops.append(below)
    return torch.stack(tops[-spec.window :], 1)


def probability(
    spec: Spec, weights: dict[str, np.ndarray], blobs: dict[str, np.ndarray], scores: np.ndarray | None = None
) -> np.ndarray:
    """Probabilities at the newest state, (B, N+1), float64; ``scores`` are taken in place of the net's."""
    w = {name: values for name, values in weights.items() if not name.startswith("mix_")}
    z = logits(spec, tensors(w), tensors(blobs))[:, -1].double() if scores is None else torch.tensor(scores)
    if spec.head.mix is None:
        return torch.softmax(z, -1).numpy()
    inputs = _mixed(spec, weights, blobs)
    net = np.pad(torch.softmax(z + torch.tensor(inputs["mix_trend"]), -1).numpy(), ((0, 0), (0, spec.slots)))
    found = net * inputs["mix_factor"] + inputs["mix_rest"]
    return found / found.sum(1, keepdims=True)


def _mixed(spec: Spec, weights: dict[str, np.ndarray], blobs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What a mixture adds to the scores, multiplies the softmax by, and adds to it, by columns; page by page."""
    w = {name: values.astype(np.float64) for name, values in weights.items() if name.startswith("mix_")}
    rows = len(blobs["seen_page"])
    trend = np.tile(w["mix_trend"][: spec.items + 1], (rows, 1))
    rest = np.zeros((rows, spec.items + 1 + spec.slots))
    factor = np.ones_like(rest)
    for b in range(rows):
        visits = [
            (p, d) for p, d in zip(blobs["seen_page"][b].tolist(), blobs["seen_dwell"][b].tolist(), strict=True) if p
        ]
        *nexts, popular, seen = w["mix_weight"][len(visits)]
        newest = [page for page, _ in visits[::-1]] + [0] * len(nexts)
        for a, page in [*zip(nexts, newest, strict=False), (popular, 0)]:
            for item, share in zip(weights["mix_follower"][page].tolist(), w["mix_share"][page], strict=True):
                rest[b, item] += a * share
        items = [int(weights["mix_item"][page]) if "mix_item" in weights else page for page, _ in visits]
        features = {}
        for item in set(items) - {0}:
            places = [place for place, each in enumerate(items) if each == item]
            lag = len(items) - max(places)
            seconds = sum(math.exp(visits[place][1]) for place in places)
            logs = [math.log(len(places)), math.log(lag), math.log(seconds)]
            features[item] = [*logs, len(places) / len(items), float(lag == 1)]
        worth = {item: math.exp(np.dot(w["mix_coefficient"][0], each)) for item, each in features.items()}
        for item, each in worth.items():
            factor[b, item] = w["mix_repeat"][0]
            rest[b, item] = rest[b, item] * w["mix_repeat"][0] + seen * each / sum(worth.values())
    return {"mix_trend": trend, "mix_factor": factor, "mix_rest": rest}


def caffe_inputs(spec: Spec, weights: dict[str, np.ndarray], blobs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What deploy.prototxt reads for these blobs: what is mixed is in inputs of its own, ready made."""
    inputs = {name: blob for name, blob in blobs.items() if name not in ("label", "seen_page", "seen_dwell")}
    if spec.head.mix:
        inputs |= {name: values.astype(np.float32) for name, values in _mixed(spec, weights, blobs).items()}
        items = spec.items + 1
        if spec.slots:
            inputs["mix_slot"] = inputs["mix_rest"][:, items:]
        inputs |= {name: inputs[name][:, :items] for name in ("mix_factor", "mix_rest")}
    return inputs


def loss(spec: Spec, weights: dict[str, torch.Tensor], blobs: dict[str, torch.Tensor]) -> torch.Tensor:
    """The mean cross-entropy over labels other than 0."""
    z = logits(spec, weights, blobs)
    label = blobs["label"]  # a place among the candidates, if there are any
    if spec.loss == "last":
        z, label = z[:, -1:], label[:, None]
    if "candidate" in blobs:  # all but the label are corrected by the chance to be there
        others = torch.arange(len(blobs["candidate"])) != label[..., None]
        z = z[..., blobs["candidate"]] + blobs["candidate_correction"] * others
    rows = functional.cross_entropy(z.reshape(-1, z.shape[-1]), label.reshape(-1), ignore_index=0, reduction="sum")
    return rows / max(1, int((label > 0).sum()))


def tensors(arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def assert_equal(
    spec: Spec,
    weights: dict[str, np.ndarray],
    blobs: dict[str, np.ndarray],
    found: np.ndarray,
    gradients: dict[str, np.ndarray],
) -> None:
    """A loss and the gradient of each weight are PyTorch's."""
    wanted = {name: tensor.requires_grad_() for name, tensor in tensors(weights).items()}
    expected = loss(spec, wanted, tensors(blobs))
    expected.backward()
    np.testing.assert_allclose(found, expected.detach().numpy(), rtol=1e-5, atol=1e-6)
    assert gradients.keys() == wanted.keys()
    for name, gradient in gradients.items():
        true = wanted[name].grad
        true = np.zeros(weights[name].shape) if true is None else true.numpy()
        np.testing.assert_allclose(gradient, true, rtol=1e-5, atol=1e-5, err_msg=name)
