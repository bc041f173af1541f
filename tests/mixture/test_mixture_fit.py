"""The fits against what is known of them: scipy-free optima, EM by hand, and the data they were drawn from."""

from dataclasses import replace

import h5py
import numpy as np
import onnxruntime
import pytest
import torch
from draws import blobs as drawn_blobs
from draws import weights as drawn_weights
from hypothesis import given, settings
from hypothesis import strategies as st

from generator.codegen.render import render
from generator.errors import ModelError
from generator.mixture.mixture import Fitted, Mixture
from generator.mixture.seen import Seen, fit_coefficients, probability_of_seen
from generator.mixture.tables import Tables
from generator.mixture.weights import BUCKETS, Parts, bucket_of, fit_weights
from generator.onnxgraph.parse import parameter_shapes, parse
from generator.spec.schema import Spec


def seen_of(rng: np.random.Generator, rows: int, size: int, pages: int) -> Seen:
    length = rng.integers(1, size + 1, rows)
    page = np.where(np.arange(size) >= size - length[:, None], rng.integers(1, pages + 1, (rows, size)), 0)
    dwell = (np.log(rng.uniform(1, 300, page.shape)) * (page > 0)).astype(np.float32)
    return Seen.of(page, dwell, np.arange(pages + 1))


def test_coefficients_are_those_of_the_greatest_likelihood():
    rng = np.random.default_rng(0)
    seen = seen_of(rng, 4000, 6, 5)
    true = np.array([0.8, -1.0, 0.3, 0.0, 0.5])
    chance = probability_of_seen(seen, true)
    place = np.array([rng.choice(6, p=row / row.sum()) for row in chance])
    label = np.take_along_axis(seen.item, place[:, None], 1)[:, 0]
    found = fit_coefficients(seen, label)

    feature, distinct = torch.tensor(seen.feature), torch.tensor(seen.distinct)
    where = torch.tensor(seen.at(label))
    wanted = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([wanted], max_iter=200, line_search_fn="strong_wolfe")

    def loss():
        optimiser.zero_grad()
        score = (feature @ wanted).masked_fill(~distinct, -torch.inf)
        value = -torch.log_softmax(score, 1)[where].mean() + 0.5e-3 * (wanted**2).sum()
        value.backward()
        return value

    optimiser.step(loss)
    np.testing.assert_allclose(found, wanted.detach().numpy(), atol=1e-3)


def test_coefficients_are_found_where_a_whole_step_passes_them():
    """A whole step of Newton's passes the optimum here, and comes to where every probability is 0 or 1."""
    rng = np.random.default_rng(3)
    size = 96
    page = np.argsort(rng.random((300, 500)), axis=1)[:, :size] + 1
    length = rng.integers(2, size + 1, 300)
    page = np.where(np.arange(size) >= size - length[:, None], page, 0)
    seen = Seen.of(page, np.zeros(page.shape, np.float32), np.arange(501))
    first = page[np.arange(300), size - length]
    label = np.where(rng.random(300) < 0.5, page[:, -1], first)
    found = fit_coefficients(seen, label)

    def worth(coefficient: np.ndarray) -> float:
        likely = (probability_of_seen(seen, coefficient) * seen.at(label)).sum(axis=1)
        return np.log(likely).mean() - 0.5e-3 * (coefficient**2).sum()

    for change in (*(np.eye(5) * 0.01), *(np.eye(5) * -0.01)):
        assert worth(found + change) < worth(found)


def test_features_by_hand():
    page = np.array([[0, 3, 1, 3, 2]])
    dwell = np.log(np.array([[1, 10, 20, 30, 5]], np.float32))
    seen = Seen.of(page, dwell, np.array([0, 1, 0, 3]))  # page 2 is no item
    assert seen.distinct.tolist() == [[False, False, True, True, False]]
    np.testing.assert_allclose(seen.feature[0, 3], [np.log(2), np.log(2), np.log(40), 2 / 4, 0], rtol=1e-6)
    np.testing.assert_allclose(seen.feature[0, 1], seen.feature[0, 3])
    np.testing.assert_allclose(seen.feature[0, 2], [0, np.log(3), np.log(20), 1 / 4, 0], rtol=1e-6)
    assert not seen.feature[0, 4].any()


def parts_of(rng: np.random.Generator, rows: int, count: int) -> Parts:
    """Parts that are distributions over 8 items, of which the first two are seen, and labels drawn from a mixture."""
    table = rng.dirichlet(np.ones(8), (rows, count))
    weight, repeat = np.linspace(1, 2, count), 0.3
    table[:, -1] = np.eye(8)[0]
    factor = np.where(np.arange(8) < 2, repeat, 1.0)
    mixed = (table[:, :-1] * weight[:-1, None]).sum(1) * factor + table[:, -1] * weight[-1]
    mixed /= mixed.sum(1, keepdims=True)
    label = (mixed.cumsum(1) > rng.random((rows, 1))).argmax(1)
    seen = table[:, :, :2].sum(2)
    seen[:, -1] = 0
    given = np.take_along_axis(table, label[:, None, None], 2)[:, :, 0]
    return Parts(given, np.ones_like(given), seen, label < 2, np.zeros(rows, np.int64) + 2)


def likelihood(parts: Parts, weight: np.ndarray, repeat: float) -> float:
    tilted = np.arange(len(weight)) < len(weight) - 1
    given = parts.label * np.where(tilted & parts.was_seen[:, None], repeat, 1) * weight
    return float(np.log(given.sum(1) / (weight * (parts.mass - (1 - repeat) * parts.seen)).sum(1)).mean())


def test_weights_are_those_of_the_greatest_likelihood():
    parts = parts_of(np.random.default_rng(1), 20000, 3)
    found = fit_weights(parts)
    weight = found.weight[2]
    assert found.repeat == pytest.approx(0.3, abs=0.05)
    np.testing.assert_allclose(weight, np.linspace(1, 2, 3) / 4.5, atol=0.05)
    best = likelihood(parts, weight, found.repeat)
    assert best == pytest.approx(found.likelihood, abs=1e-4)
    for change in (*(np.eye(3) * 0.02), *(-np.eye(3) * 0.02)):
        assert likelihood(parts, weight + change, found.repeat) <= best + 1e-6
    for repeat in (0.9, 1.1):
        assert likelihood(parts, weight, found.repeat * repeat) <= best + 1e-6


def test_without_anything_seen_it_is_em_of_a_mixture():
    rng = np.random.default_rng(2)
    given = rng.random((500, 3))
    nothing = np.zeros_like(given)
    parts = Parts(given, np.ones_like(given), nothing, np.zeros(500, bool), np.full(500, 3))
    weight = np.full(3, 1 / 3)
    for _ in range(2000):
        blame = weight * given / (weight * given).sum(1, keepdims=True)
        weight = blame.mean(0)
    np.testing.assert_allclose(fit_weights(parts).weight[3], weight, atol=2e-2)


def test_buckets_by_their_least_length():
    assert bucket_of(np.array(BUCKETS)).tolist() == list(range(len(BUCKETS)))
    assert bucket_of(np.array([4, 8, 100])).tolist() == [3, 4, 6]


def mixture_of(rng: np.random.Generator, pages: int, items: int, newest: int) -> Mixture:
    follower = np.zeros((pages + 1, 2), np.int32)
    for page in range(pages + 1):
        follower[page] = rng.permutation(items)[:2] + 1
    share = np.sort(rng.random((pages + 1, 2)) / 2, axis=1)[:, ::-1].astype(np.float32) * (follower > 0)
    tables = Tables(
        follower,
        share,
        rng.normal(size=items + 1).astype(np.float32),
        rng.integers(0, items + 1, pages + 1) * (np.arange(pages + 1) > 0),
    )
    weight = rng.dirichlet(np.ones(3 + newest), len(BUCKETS))
    return Mixture(tables, Fitted(rng.normal(size=5) / 2, 0.4, 0.6, weight))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.booleans())
def test_what_caffe_is_given_makes_the_probabilities_of_the_graph(seed, size, fnn):
    """`Mixture` puts the same numbers into the graph and into Caffe's inputs."""
    rng = np.random.default_rng(seed)
    newest = int(rng.integers(1, size + 1))
    net = (
        {"net": "fnn", "fnn": {"bought": 2, "widths": [3]}}
        if fnn
        else {"net": "rnn", "rnn": {"window": 2, "widths": [3]}}
    )
    mix = {"pages": size, "newest": newest, "followers": 2}
    values = {"name": "m", "pages": 7, "items": 5, "top_k": 2, "head": {"mix": mix}, **net}
    spec = Spec.model_validate(values)
    mixture = mixture_of(rng, 7, 5, newest)
    models = [parse(render(each, ["onnx"])["model.onnxtxt"], "model") for each in (spec, spec.unmixed)]
    weights = drawn_weights(parameter_shapes(models[1]), seed)
    blobs = {name: values for name, values in drawn_blobs(spec, 5, seed).items() if name != "label"}
    session, plain = (onnxruntime.InferenceSession(model.SerializeToString()) for model in models)
    given = mixture.parameters(size)
    found = session.run(["probability"], weights | blobs | given)[0]

    logit = torch.log(torch.tensor(plain.run(["probability"], weights | _of(plain, blobs))[0], dtype=torch.float64))
    inputs = mixture.caffe_inputs(blobs["seen_page"], blobs["seen_dwell"])
    mixed = (
        torch.softmax(logit + torch.tensor(inputs["mix_trend"]), 1).numpy() * inputs["mix_factor"] + inputs["mix_rest"]
    )
    np.testing.assert_allclose(found, mixed / mixed.sum(1, keepdims=True), atol=1e-6)


@pytest.mark.parametrize("tied", [False, True])
def test_with_slots_the_graph_caffes_inputs_and_the_net_agree(tied):
    """The net alone has no column for them; what is seen of them is in theirs."""
    rng = np.random.default_rng(11)
    head = {"tied": tied, "slots": 3, "mix": {"pages": 6, "newest": 2, "followers": 2}}
    values = {"name": "m", "net": "rnn", "pages": 5, "items": 5, "top_k": 2, "rnn": {"window": 2, "widths": [3]}}
    spec = Spec.model_validate(values | {"head": head})
    mixture = mixture_of(rng, 8, 8, 2)
    tables = mixture.tables
    trend, follower = tables.trend * (np.arange(9) < 6), np.minimum(tables.follower, 5)  # nothing is known of slots
    mixture = replace(mixture, tables=replace(tables, item=np.arange(9), trend=trend, follower=follower))
    models = [parse(render(each, ["onnx"])["model.onnxtxt"], "model") for each in (spec, spec.unmixed)]
    weights = drawn_weights(parameter_shapes(models[1]), 3)
    blobs = {name: values for name, values in drawn_blobs(spec, 40, 3).items() if name != "label"}
    session, plain = (onnxruntime.InferenceSession(model.SerializeToString()) for model in models)
    given = mixture.parameters(6, 7 if tied else 6)
    if tied:
        del given["mix_item"]  # whose items are its pages
    found = session.run(["probability"], weights | blobs | given)[0]
    net = plain.run(["probability"], weights | _of(plain, blobs))[0]
    assert (found.shape, net.shape) == ((40, 9), (40, 6))
    inputs = mixture.caffe_inputs(blobs["seen_page"], blobs["seen_dwell"], slots=3)
    mixed = net * np.exp(inputs["mix_trend"])
    mixed = mixed / mixed.sum(1, keepdims=True) * inputs["mix_factor"] + inputs["mix_rest"]
    mixed = np.concatenate([mixed, inputs["mix_slot"]], axis=1)
    np.testing.assert_allclose(found, mixed / mixed.sum(1, keepdims=True), atol=1e-6)
    seen = (blobs["seen_page"][:, :, None] == np.arange(9)).any(axis=1)
    assert ((found > 0) == seen)[:, 6:].all()


def test_a_session_without_pages_is_answered_however_many_may_be_seen():
    spec = Spec.model_validate(
        {
            "name": "m",
            "net": "rnn",
            "pages": 7,
            "items": 5,
            "top_k": 2,
            "rnn": {"window": 2, "widths": [3]},
            "head": {"mix": {"pages": 200, "newest": 1, "followers": 2}},
        }
    )
    mixture = mixture_of(np.random.default_rng(5), 7, 5, 1)
    steep = replace(mixture, fitted=replace(mixture.fitted, coefficient=np.array([3.0, -3, 3, 3, 3])))
    model = parse(render(spec, ["onnx"])["model.onnxtxt"], "model")
    weights = drawn_weights(parameter_shapes(model), 5) | steep.parameters(200)
    page = np.zeros((2, 200), np.int64)
    page[1, -1] = 4
    blobs = {"page": page[:, -2:], "seen_page": page, "seen_dwell": np.zeros(page.shape, np.float32)}
    found = onnxruntime.InferenceSession(model.SerializeToString()).run(["probability"], weights | blobs)[0]
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def _of(session: onnxruntime.InferenceSession, blobs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    names = {one.name for one in session.get_inputs()}
    return {name: values for name, values in blobs.items() if name in names}


def test_a_mixture_is_read_as_it_was_written(tmp_path):
    mixture = mixture_of(np.random.default_rng(3), 4, 3, 2)
    mixture.write(tmp_path / "mixture.h5")
    found = Mixture.read(tmp_path / "mixture.h5")
    for part in ("tables", "fitted"):
        for name, values in vars(getattr(mixture, part)).items():
            np.testing.assert_array_equal(getattr(getattr(found, part), name), values)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("weight", np.ones((2, 4)), "other shapes"),
        ("weight", np.full((len(BUCKETS), 4), -1.0), "no weights"),
        ("coefficient", np.full(5, np.nan), "no weights"),
        ("coefficient", None, "holds no mixture"),
    ],
)
def test_numbers_that_are_none_of_a_mixture_are_refused(tmp_path, name, values, message):
    path = tmp_path / "mixture.h5"
    mixture_of(np.random.default_rng(3), 4, 3, 2).write(path)
    with h5py.File(path, "a") as file:
        del file[f"fitted/{name}"]
        if values is not None:
            file[f"fitted/{name}"] = values
    with pytest.raises(ModelError, match=message):
        Fitted.read(path)
