"""The sampled softmax against the softmax over all items, and against the chances that its correction rests on."""

from typing import Any

import numpy as np
import onnxruntime
import pytest
from draws import blobs, specs, weights
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import assert_equal

from generator.codegen.artefacts import generate_text
from generator.onnxgraph.parse import parameter_shapes, parse
from generator.spec.schema import Spec
from generator.training.engine.candidates import SampledItems
from generator.training.run.rows import candidates_of

Arrays = dict[str, np.ndarray[Any, Any]]
BATCH = 5
SEEDS = st.integers(0, 2**32 - 1)


def with_sampled(spec: Spec, negatives: int) -> Spec:
    solver = {"batch_size": BATCH, "sampled": {"negatives": negatives}}
    return Spec.model_validate(spec.model_dump(exclude_defaults=True) | {"solver": solver})


def gradients(spec: Spec, feed: Arrays) -> tuple[Arrays, dict[str, tuple[int, ...]]]:
    """Return the loss and each parameter's whole gradient, and the parameters' shapes."""
    model = parse(generate_text(spec, ["gradient"])["gradient.onnxtxt"], "gradient.onnxtxt")
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    given = {value.name: feed[value.name] for value in session.get_inputs()}
    outputs = dict(zip(names, session.run(names, given), strict=True))
    found = {"loss": outputs["loss"]}
    for name, shape in (shapes := parameter_shapes(model)).items():
        found[name] = np.array(outputs.get(f"{name}_grad", np.zeros(shape, np.float32)))
        if f"{name}_grad_rows" in outputs:
            np.add.at(found[name], outputs[f"{name}_grad_rows"], outputs[f"{name}_grad_values"])
    return found, shapes


def shapes_of(spec: Spec) -> dict[str, tuple[int, ...]]:
    return parameter_shapes(parse(generate_text(spec, ["onnx"])["loss.onnxtxt"], "loss.onnxtxt"))


@settings(max_examples=40, deadline=None)
@given(specs(), SEEDS, st.integers(1, 12))
def test_loss_and_gradients_are_those_of_pytorch(spec, seed, negatives):
    spec = with_sampled(spec, negatives)
    batch = blobs(spec, BATCH, seed)
    w = weights(shapes_of(spec), seed)
    batch |= candidates_of(spec, batch["label"]).blobs(3, batch)
    found, _ = gradients(spec, w | batch)
    assert_equal(spec, w, batch, found.pop("loss"), found)


@settings(max_examples=20, deadline=None)
@given(specs(), SEEDS)
def test_with_all_items_as_candidates_it_is_the_softmax_over_all(spec, seed):
    """As many draws as make every item as good as certain: the loss and all gradients are those without sampling."""
    spec = with_sampled(spec, 2000)
    plain = spec.model_copy(update={"solver": spec.solver.model_copy(update={"sampled": None})})
    batch = blobs(spec, BATCH, seed)
    w = weights(shapes_of(spec), seed)
    drawn = candidates_of(spec, batch["label"]).blobs(0, batch)
    assert set(range(spec.items + 1)) == set(drawn["candidate"].tolist())
    sampled, _ = gradients(spec, w | batch | drawn)
    whole, _ = gradients(plain, w | batch)
    for name, gradient in whole.items():
        np.testing.assert_allclose(sampled[name], gradient, rtol=1e-4, atol=1e-5, err_msg=name)


def shop(items: int, negatives: int, alpha: float, rows: int) -> tuple[SampledItems, np.ndarray[Any, Any]]:
    """Return candidates over labels as unevenly bought as 1 / k, with the share of each."""
    share = 1 / np.arange(1, items + 1)
    counts = np.ceil(1000 * share).astype(int)
    label = np.repeat(np.arange(1, items + 1), counts)
    return SampledItems(label, items, size=1 + rows + negatives, alpha=alpha, seed=5), counts / counts.sum()


@pytest.mark.parametrize("alpha", [0.0, 0.75, 1.0])
def test_an_item_divided_by_its_chance_counts_once_on_average(alpha: float) -> None:
    items, rows, batches = 40, 4, 4000
    made, share = shop(items, 12, alpha, rows)
    rng = np.random.default_rng(1)
    total, squares = np.zeros(items + 1), np.zeros(items + 1)
    for number in range(batches):
        label = np.concatenate([[items], rng.choice(items, rows - 1, p=share) + 1])  # the first row's is fixed
        drawn = made.blobs(number, {"label": label})
        candidate, place = drawn["candidate"], drawn["label"]
        np.testing.assert_array_equal(candidate[place], label)
        there = drawn["candidate_correction"] > -1e20
        assert there.all(), "every place has an item, or none"
        assert len(set(candidate)) == len(candidate)
        count = np.exp(drawn["candidate_correction"])
        total[candidate] += count
        squares[candidate] += count**2
    mean = total / batches
    spread = np.sqrt((squares / batches - mean**2) / batches)
    assert mean[0] == 1
    # The labels of a batch take places: so few of them are felt.
    assert np.all(np.abs(mean[1:items] - 1) < 4 * spread[1:items] + 0.02)


def test_a_rare_item_counts_for_those_that_did_not_come() -> None:
    """What candidates add up to, each divided by its chance, is what all items add up to; undivided it is not."""
    items, rows, batches = 200, 8, 3000
    made, share = shop(items, 24, 0.75, rows)
    rng = np.random.default_rng(2)
    worth = rng.standard_normal(items + 1) ** 2
    divided, plain = np.zeros(batches), np.zeros(batches)
    for number in range(batches):
        drawn = made.blobs(number, {"label": rng.choice(items, rows, p=share) + 1})
        each = worth[drawn["candidate"]]
        divided[number] = np.exp(drawn["candidate_correction"]) @ each
        plain[number] = each.sum()
    assert abs(divided.mean() / worth.sum() - 1) < 0.02
    assert plain.mean() < 0.5 * worth.sum()


def test_with_a_place_for_each_all_items_are_certain() -> None:
    made, _ = shop(10, 12, 0.75, 3)
    drawn = made.blobs(0, {"label": np.array([4, 0, 9])})
    np.testing.assert_array_equal(drawn["candidate"][:11], np.arange(11))
    assert not drawn["candidate_correction"][:11].any()
    assert np.all(drawn["candidate_correction"][11:] < -1e20)


def test_candidates_depend_on_the_seed_and_the_batch_alone() -> None:
    made, _ = shop(50, 10, 0.75, 6)
    again, _ = shop(50, 10, 0.75, 6)
    batch = {"label": np.array([3, 0, 7, 7, 50, 1])}
    one, two = made.blobs(9, batch), again.blobs(9, batch)
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert not np.array_equal(one["candidate"], made.blobs(10, batch)["candidate"])
    assert one["label"][1] == 0
