"""The Open Inference Protocol, driven by Triton's own client."""

import gzip
import http.client
import json
import zlib

import numpy as np
import pytest
import tritonclient.http as triton
from served import PAGES
from tritonclient.utils import InferenceServerException

from generator.model.model import Model

SIZES = {"page": 3, "history_page": 4, "history_weight": 4, "bought": 3, "bought_weight": 3}


@pytest.fixture(scope="module")
def client(drn):
    with triton.InferenceServerClient(f"127.0.0.1:{drn.port}") as found:
        yield found


def rows(count):
    random = np.random.default_rng(count)
    return {
        name: random.random((count, size), np.float32) if "weight" in name else random.integers(0, 20, (count, size))
        for name, size in SIZES.items()
    }


def tensors(blobs, binary):
    found = []
    for name, values in blobs.items():
        tensor = triton.InferInput(name, values.shape, "FP32" if "weight" in name else "INT64")
        tensor.set_data_from_numpy(values, binary_data=binary)
        found.append(tensor)
    return found


def test_health_and_metadata(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("shop")
    assert client.is_model_ready("shop", "1")
    assert not client.is_model_ready("shop", "2")
    assert not client.is_model_ready("other")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    found = client.get_model_metadata("shop", "1")
    assert found["versions"] == ["1"]
    assert {one["name"]: one["shape"][1] for one in found["inputs"]} == SIZES
    assert client.get_model_repository_index() == [{"name": "shop", "version": "1", "state": "READY", "reason": ""}]


@pytest.mark.parametrize("binary_in", [False, True])
@pytest.mark.parametrize("binary_out", [False, True])
@pytest.mark.parametrize("count", [1, 2, 7, 1024])
def test_infer_answers_what_the_model_answers(client, repository, binary_in, binary_out, count):
    blobs = rows(count)
    outputs = [triton.InferRequestedOutput(name, binary_out) for name in ("top_item", "probability")]
    found = client.infer("shop", tensors(blobs, binary_in), "1" if binary_in else "", outputs, request_id="r7")
    response = found.get_response()
    assert (response["id"], response["model_name"], response["model_version"]) == ("r7", "shop", "1")
    assert [one["name"] for one in response["outputs"]] == ["top_item", "probability"]
    wanted = Model(repository).scores(blobs)
    np.testing.assert_allclose(found.as_numpy("probability"), wanted, rtol=1e-5)
    np.testing.assert_array_equal(found.as_numpy("top_item"), np.argsort(-wanted[:, 1:], kind="stable")[:, :5] + 1)


def test_all_outputs_come_where_none_is_named(client):
    found = client.infer("shop", tensors(rows(2), True))
    assert {one["name"] for one in found.get_response()["outputs"]} == {"probability", "top_item", "top_probability"}


@pytest.mark.parametrize("name", SIZES)
def test_an_input_that_does_not_fit_is_refused(client, name):
    blobs = rows(2)
    for broken in (
        {key: value for key, value in blobs.items() if key != name},
        blobs | {name: blobs[name][:, 1:]},
        blobs | {name: np.concatenate([blobs[name]] * 600)},
        blobs | {name: np.full_like(blobs[name], -1 if "weight" not in name else np.nan)},
        blobs | {name: blobs[name][:1]},
    ):
        with pytest.raises(InferenceServerException, match=r"\[400\]"):
            client.infer("shop", tensors(broken, True))
    if "weight" not in name:
        with pytest.raises(InferenceServerException, match="beyond the model's vocabulary"):
            client.infer("shop", tensors(blobs | {name: np.full_like(blobs[name], len(PAGES) + 1)}, True))


WHOLE = {"name": "page", "shape": [1, 3], "datatype": "INT64", "data": [1, 2, 3]}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nothing",
        b"[]",
        b"{}",
        b"\xff",
        {"inputs": [1]},
        {"inputs": [{}]},
        {"inputs": [WHOLE, WHOLE]},
        {"inputs": [WHOLE | {"shape": [1, True]}]},
        {"inputs": [WHOLE | {"shape": [10**30, 3]}]},
        {"inputs": [WHOLE | {"data": [1, 2, "3"]}]},
        {"inputs": [WHOLE | {"data": [1, 2, 10**40]}]},
        {"inputs": [WHOLE | {"data": [[[1]], [[2]], [[3]]]}]},
        {"inputs": [WHOLE | {"parameters": {"binary_data_size": 24}}]},
        {"inputs": [WHOLE | {"parameters": {"shared_memory_region": "x"}}]},
        {"inputs": [WHOLE | {"datatype": "BYTES"}]},
        {"inputs": [WHOLE], "id": 7},
    ],
    ids=lambda body: str(body)[:40],
)
def test_a_broken_request_is_refused(drn, body):
    status, answer, _ = drn("POST", "/v2/models/shop/infer", body)
    assert status == 400
    assert set(answer) == {"error"}


def test_broken_headers_are_refused(drn):
    for length in ("-1", "x", "99", "9" * 30):
        status, _, _ = drn("POST", "/v2/models/shop/infer", b"{}", Inference_Header_Content_Length=length)
        assert status == 400
    assert drn("POST", "/v2/models/shop/infer", b"{}", Content_Encoding="br")[0] == 415
    assert drn("GET", "/v2/models/shop/versions/x")[0] == drn("GET", "/v2/models/shop/versions/" + "9" * 40)[0] == 404


def test_nested_data_is_taken_as_flat(drn):
    blobs = rows(2)
    answers = []
    for flat in (True, False):
        inputs = [
            {
                "name": name,
                "shape": list(values.shape),
                "datatype": "FP32" if "weight" in name else "INT64",
                "data": (values.ravel() if flat else values).tolist(),
            }
            for name, values in blobs.items()
        ]
        answers.append(drn("POST", "/v2/models/shop/infer", json.dumps({"inputs": inputs}).encode())[1]["outputs"])
    assert answers[0] == answers[1]


@pytest.mark.parametrize("request_", [None, "gzip", "deflate"])
@pytest.mark.parametrize("response", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary", [False, True])
def test_bodies_may_be_compressed_either_way(client, request_, response, binary):
    blobs = rows(200)
    named = {"request_compression_algorithm": request_, "response_compression_algorithm": response}
    outputs = [triton.InferRequestedOutput("probability", binary)]
    found = client.infer("shop", tensors(blobs, binary), outputs=outputs, **named)
    plain = client.infer("shop", tensors(blobs, True), outputs=[triton.InferRequestedOutput("probability", True)])
    np.testing.assert_allclose(found.as_numpy("probability"), plain.as_numpy("probability"), rtol=1e-6)


@pytest.mark.parametrize(
    ("accepted", "name", "unpack"),
    [
        ("gzip, deflate, br", "gzip", gzip.decompress),
        ("gzip;q=0, deflate", "deflate", zlib.decompress),
        ("br", None, bytes),
    ],
)
def test_a_large_answer_is_compressed_for_who_accepts_it(drn, accepted, name, unpack):
    link = http.client.HTTPConnection("127.0.0.1", drn.port, timeout=30)
    body = json.dumps({"inputs": json_tensors(rows(100))})
    link.request("POST", "/v2/models/shop/infer", body, {"Accept-Encoding": accepted})
    answer = link.getresponse()
    assert answer.headers["Content-Encoding"] == name
    assert len(json.loads(unpack(answer.read()))["outputs"]) == 3


BOMB = zlib.compress(b" " * 200 * 2**20, 9)


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (b"{}", "gzip", 400),
        (gzip.compress(b"{}")[:-6], "gzip", 400),
        (gzip.compress(b"{}") + b"more", "gzip", 400),
        (gzip.compress(b"{}"), "deflate", 400),
        (BOMB, "deflate", 413),
        (b"{}", "br", 415),
        (b"{}", "gzip, gzip", 415),
    ],
    ids=range(7),
)
def test_a_compressed_body_that_does_not_hold_is_refused(drn, body, encoding, status):
    found, answer, _ = drn("POST", "/v2/models/shop/infer", body, Content_Encoding=encoding)
    assert (found, set(answer)) == (status, {"error"})


def json_tensors(blobs, **more):
    return [
        {
            "name": name,
            "shape": list(values.shape),
            "datatype": "FP32" if "weight" in name else "INT64",
            "data": values.ravel().tolist(),
            **more,
        }
        for name, values in blobs.items()
    ]


def test_what_mlserver_and_javascript_write_is_taken(drn):
    """MLServer's types write null for what is absent; JSON of JavaScript has one kind of number."""
    blobs = rows(2)
    plain = drn("POST", "/v2/models/shop/infer", {"inputs": json_tensors(blobs)})[1]["outputs"]
    absent = {"id": None, "parameters": None, "outputs": None}
    found = drn("POST", "/v2/models/shop/infer", {"inputs": json_tensors(blobs, parameters=None), **absent})
    assert (found[0], found[1]["outputs"]) == (200, plain)
    named = [{"name": "top_item", "parameters": None}]
    found = drn("POST", "/v2/models/shop/infer", {"inputs": json_tensors(blobs), "outputs": named})
    assert [one["name"] for one in found[1]["outputs"]] == ["top_item"]
    floats = json_tensors({name: values.astype(float) for name, values in blobs.items()})
    assert drn("POST", "/v2/models/shop/infer", {"inputs": floats})[1]["outputs"] == plain
    floats[0]["data"][0] = 1.5
    assert drn("POST", "/v2/models/shop/infer", {"inputs": floats})[0] == 400


def test_health_is_told_under_the_key_of_the_text_and_of_the_clients(drn):
    for check in ("live", "ready"):
        assert drn("GET", f"/v2/health/{check}")[1] == {"live": True, "ready": True}
