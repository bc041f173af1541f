"""How fast a step could be: the machine's matrix products, and what onnxruntime takes for the nodes between them."""

import tempfile

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser
import onnxruntime
from nets import gflop, make_rows
from onnx import helper
from turns import Side

from generator.onnxgraph.optimise import optimise
from generator.onnxgraph.rewrites.label_count import LABEL_COUNT, with_label_count
from generator.spec.schema import Spec
from generator.training.engine.batches import shard_of
from generator.training.run.generated import Generated
from generator.training.run.rows import training_batches

__all__ = ["FLOOR", "ROOF", "floor", "roof", "sgemm_rates"]

ROOF = "| net | GFLOP a step | sgemm, numpy / onnxruntime | drn, GFLOP/s, median | best | share |"
FLOOR = "| net | products | alone, µs | other nodes | as many tiny ones, µs | floor, µs | step, µs, best | share |"
PRODUCTS = ("Gemm", "MatMul")


def sgemm_rates(threads: int, size: int = 1024, times: int = 15) -> dict[str, float]:
    """Return the best GFLOP/s of a square product in numpy (all cores) and in onnxruntime."""
    a = np.random.default_rng(1).random((size, size), np.float32)
    graph = '<ir_version: 8, opset_import: ["": 18]> g (float[N, N] a) => (float[N, N] y) { y = Gemm (a, a) }'
    session = _session(onnx.parser.parse_model(graph), threads)
    ways = {"numpy": lambda: a @ a, "onnxruntime": lambda: session.run(None, {"a": a})}
    sides = {name: Side(name, lambda _, way=way: way() is None) for name, way in ways.items()}
    for _ in range(times):
        for side in sides.values():
            side.turn(1)
    return {name: 2 * size**3 / side.best / 1e9 for name, side in sides.items()}


def roof(name: str, spec: Spec, ours: Side, rates: dict[str, float]) -> str:
    """Return a row of `ROOF`: a step beside the rate of large products."""
    reached = [gflop(spec) / seconds for seconds in (ours.median, ours.best)]
    shares = " / ".join(f"{rate / max(rates.values()):.0%}" for rate in reached)
    cells = [name, f"{gflop(spec):.2f}", f"{rates['numpy']:.0f} / {rates['onnxruntime']:.0f}"]
    return f"| {' | '.join([*cells, *(f'{rate:.0f}' for rate in reached), shares])} |"


def floor(name: str, spec: Spec, ours: Side, threads: int) -> str:
    """Return a row of `FLOOR`: a step beside its products alone and what onnxruntime takes for the other nodes.

    On two threads both are those of half a batch, which one of them computes.
    """
    made = Generated.of(spec)
    threads = made.threads() or threads
    shards = min(threads, 2)
    gradient = with_label_count(onnx.load_from_string(made.files["gradient.onnx"]))
    graph = optimise(gradient, spec.solver.batch_size // shards)
    read = inputs_of_products(graph, spec, shards)
    products, others = products_alone(graph, read), nodes_between(graph)
    one = np.eye(4, dtype=np.float32)
    alone = _best_run(products, {f"given_{name}": array for name, array in read.items()}, threads // shards)
    between = _best_run(tiny_nodes(others), {"t0": one, "a": one}, 1)
    cells = [name, f"{len(products.graph.node)}", f"{1e6 * alone:.0f}", f"{others}", f"{1e6 * between:.0f}"]
    cells += [f"{1e6 * (alone + between):.0f}", f"{1e6 * ours.best:.0f}", f"{(alone + between) / ours.best:.0%}"]
    return f"| {' | '.join(cells)} |"


def inputs_of_products(model: onnx.ModelProto, spec: Spec, shards: int) -> dict[str, np.ndarray]:
    """Return what the matrix products of a gradient graph read on the first of a batch's shards, by name."""
    read = dict.fromkeys(name for node in model.graph.node if node.op_type in PRODUCTS for name in node.input)
    batch = training_batches(spec, make_rows(spec, spec.solver.batch_size), order="file", tables=[]).some(0, 1)[0]
    blobs = shard_of(batch.blobs | {LABEL_COUNT: np.array(spec.solver.batch_size, np.float32)}, 0, shards)
    rng = np.random.default_rng(1)
    shapes = {info.name: [dim.dim_value for dim in info.type.tensor_type.shape.dim] for info in model.graph.input}
    given = {
        name: blobs[name] if name in blobs else rng.normal(0, 0.1, shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    made = [name for name in read if name not in given and name not in constants]
    del shown.graph.output[:]
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made)
    found = dict(zip(made, _session(shown, 1).run(None, given), strict=True))
    return {name: ({**given, **constants, **found})[name] for name in read}


def products_alone(model: onnx.ModelProto, read: dict[str, np.ndarray]) -> onnx.ModelProto:
    """Return a graph of the matrix products of another, whose inputs are what they ``read``: nothing lies between."""
    inputs = [helper.make_tensor_value_info(f"given_{name}", 1, array.shape) for name, array in read.items()]
    nodes = []
    for node in model.graph.node:
        if node.op_type in PRODUCTS:
            nodes.append(onnx.NodeProto())
            nodes[-1].CopyFrom(node)
            nodes[-1].input[:] = [f"given_{name}" for name in node.input]
    outputs = [onnx.ValueInfoProto(name=node.output[0]) for node in nodes]
    graph = helper.make_graph(nodes, "products", inputs, outputs)
    return helper.make_model(graph, ir_version=model.ir_version, opset_imports=model.opset_import)


def nodes_between(model: onnx.ModelProto) -> int:
    """Return how many nodes but products onnxruntime runs of a graph, after what it rewrites itself."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/planned.onnx"
        _session(model, 1, path)
        return sum(not node.op_type.endswith(PRODUCTS) for node in onnx.load(path).graph.node)


def tiny_nodes(count: int) -> onnx.ModelProto:
    """Return a graph of so many nodes, one after the other, each the product of two 4 x 4 matrices."""
    products = "\n".join(f"t{k + 1} = Gemm (t{k}, a)" for k in range(count))
    graph = f'<ir_version: 8, opset_import: ["": 18]> g (float[4, 4] t0, float[4, 4] a) => (float[4, 4] t{count})'
    return onnx.parser.parse_model(f"{graph} {{ {products} }}")


def _best_run(model: onnx.ModelProto, given: dict[str, np.ndarray], threads: int) -> float:
    """Return the seconds of the best of some hundred runs of a graph, its outputs written to the same places."""
    session = _session(model, threads)
    binding = session.io_binding()
    made = session.run(None, given)
    for name, array in given.items():
        binding.bind_cpu_input(name, array)
    for value, array in zip(session.get_outputs(), made, strict=True):
        binding.bind_output(value.name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
    side = Side("floor", lambda times: [session.run_with_iobinding(binding) is None for _ in range(times)][-1])
    for _ in range(50):
        side.turn(max(1, min(20, int(0.02 / side.best))) if side.turns else 1)
    return side.best


def _session(model: onnx.ModelProto, threads: int, optimised: str = "") -> onnxruntime.InferenceSession:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.optimized_model_filepath = optimised
    settings.log_severity_level = 3
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")  # as in training
    return onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
