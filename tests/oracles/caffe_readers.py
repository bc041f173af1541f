"""How each program reads a Caffe net and answers; every function runs in the program's own Python, with numpy alone.

Each takes the prototxt, the caffemodel, the inputs by name and the blob asked for, and returns that blob. Files that a
conversion writes go beside the prototxt.
"""

import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import numpy as np

__all__ = ["IMPORTS", "READERS", "version_of"]


def opencv(net, weights, inputs, output):
    import cv2

    read = cv2.dnn.readNetFromCaffe(net, weights)
    for name, array in inputs.items():
        read.setInput(array, name)
    return read.forward(output)


def mnn(net, weights, inputs, output):
    import _tools
    import MNN

    file = f"{net}.mnn"
    Path(file).unlink(missing_ok=True)
    arguments = ["-f", "CAFFE", "--modelFile", weights, "--prototxt", net, "--MNNModel", file, "--bizCode", "drn"]
    _tools.mnnconvert(["", *arguments])
    interpreter = MNN.Interpreter(file)
    session = interpreter.createSession({"backend": "CPU", "numThread": 1, "precision": "high"})
    for name, tensor in interpreter.getSessionInputAll(session).items():
        given = np.ascontiguousarray(inputs[name])
        shape = tuple(given.shape)
        kind, order = MNN.Halide_Type_Float, MNN.Tensor_DimensionType_Caffe
        tensor.copyFrom(MNN.Tensor(shape, kind, given, order))
    interpreter.runSession(session)
    found = interpreter.getSessionOutput(session, output)
    whole = MNN.Tensor(found.getShape(), kind, np.zeros(found.getShape(), np.float32), order)
    found.copyToHostTensor(whole)
    return np.array(whole.getData(), np.float32).reshape(found.getShape())


def ncnn(net, weights, inputs, output):
    """Its converter, caffe2ncnn, is in no wheel; heavy_readers.sh builds it beside the wheel's Python."""
    import ncnn

    param, binary = f"{net}.param", f"{net}.bin"
    converter = Path(sys.prefix) / "caffe2ncnn"
    done = subprocess.run([converter, net, weights, param, binary], check=True, capture_output=True)
    assert not done.stderr, done.stderr.decode()
    read = ncnn.Net()
    for half in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
        setattr(read.opt, f"use_{half}", False)
    assert read.load_param(param) == 0, "load_param fails"
    assert read.load_model(binary) == 0, "load_model fails"
    extractor = read.create_extractor()
    kept = {name: ncnn.Mat(array[0] if array.ndim > 1 else array).clone() for name, array in inputs.items()}  # no batch
    for name, mat in kept.items():
        assert extractor.input(name, mat) == 0, f"no input {name}"
    status, found = extractor.extract(output)
    assert status == 0, f"extract returns {status}"
    return np.array(found)


def openvino(net, weights, inputs, output):
    """2023.3 is the last version with a reader of Caffe; the ports of its IR have the names of the blobs."""
    from openvino.runtime import Core
    from openvino.tools.mo import convert_model

    model = convert_model(framework="caffe", input_model=weights, input_proto=net, silent=True)
    compiled = Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    ports = {port.get_any_name(): port for port in compiled.inputs}
    found = compiled({ports[name]: array for name, array in inputs.items()})
    named = [port for port in compiled.outputs if {output, f"{output}/sink_port_0"} & port.get_names()]
    return found[named[0] if named else compiled.outputs[0]]


def x2paddle(net, weights, inputs, output):
    import paddle
    from x2paddle.convert import caffe2paddle

    folder = f"{net}.paddle"
    shutil.rmtree(folder, ignore_errors=True)
    caffe2paddle(net, weights, folder, None, disable_feedback=True)
    paddle.enable_static()
    runner = paddle.static.Executor(paddle.CPUPlace())
    program, names, targets = paddle.static.load_inference_model(f"{folder}/inference_model/model", runner)
    return runner.run(program, feed={name: inputs[name] for name in names}, fetch_list=targets)[0]


def tpu_mlir(net, weights, inputs, output):
    """Its converter imports torch for what drn has not: an empty stand-in saves a gigabyte."""
    sys.modules["torch"] = ModuleType("torch")
    import tpu_mlir  # noqa: F401 - it puts its own packages on the path
    from transform.CaffeConverter import CaffeConverter

    os.chdir(Path(net).parent)  # the weights go into the working folder
    name = Path(net).stem
    converter = CaffeConverter(name, net, weights, [list(array.shape) for array in inputs.values()], [output])
    converter.generate_mlir(f"{name}_origin.mlir")
    import pymlir

    module = pymlir.module()
    module.load(f"{name}_origin.mlir")
    for given, array in inputs.items():
        module.set_tensor(given, array, array.shape)
    module.invoke(True)
    found = module.get_all_tensor()
    return found[next(each for each in found if each.split("_")[0] == output or each == output)]


def caffe_onnx(net, weights, inputs, output):
    import onnxruntime
    from src.caffe2onnx import Caffe2Onnx
    from src.load_save_model import loadcaffemodel, saveonnxmodel

    file = f"{net}.onnx"
    Path(file).unlink(missing_ok=True)
    graph, parameters = loadcaffemodel(net, weights)
    saveonnxmodel(Caffe2Onnx(graph, parameters, "probe").createOnnxModel(), file)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip([each.name for each in session.get_inputs()], inputs.values(), strict=True)))[-1]


READERS = {
    "opencv": opencv,
    "mnn": mnn,
    "ncnn": ncnn,
    "openvino-2023": openvino,
    "x2paddle": x2paddle,
    "tpu-mlir": tpu_mlir,
    "caffe-onnx": caffe_onnx,
}


# What takes seconds to import, once for all nets.
IMPORTS = {
    "openvino-2023": ["openvino.runtime", "openvino.tools.mo"],
    "x2paddle": ["paddle", "x2paddle.convert"],
    "caffe-onnx": ["onnxruntime", "src.caffe2onnx"],
}


def version_of(reader):
    """Return the version of a reader, as it has it itself, or as its package has."""
    if reader == "opencv":
        import cv2

        return cv2.__version__
    if reader == "mnn":
        import MNN

        return MNN.version()
    package = {"openvino-2023": "openvino"}.get(reader, reader)
    return version(package)
