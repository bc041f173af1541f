"""Generated graphs in onnxruntime on the CPU: parameters bound in place, gradients into arrays of ours."""

import math
from collections.abc import Mapping
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from generator.errors import ModelError, TrainingError
from generator.training.engine.solver import Array

__all__ = ["NO_DEVICE", "PROVIDERS", "Graph", "check_provider", "open_session", "threads_for"]

# onnxruntime's execution providers by the names `drn train --provider` takes, and the package that brings each.
PROVIDERS = {"cpu": ("CPUExecutionProvider", "onnxruntime"), "cuda": ("CUDAExecutionProvider", "onnxruntime-gpu")}
# What to look at where a provider does not work.
NO_DEVICE = "see that nvidia-smi lists a GPU and that CUDA and cuDNN are installed, or train with --provider cpu"
# Options of the providers.
OPTIONS = {"cuda": {"use_tf32": "0"}}

# Multiplications of a step below which waking a second thread, operator by operator, costs more than it saves.
WORTH_THREADS = 5e7


def threads_for(shapes: Mapping[str, tuple[int, ...]], batch_size: int, states: int, *, every: bool) -> int:
    """Return the intra-op threads that train a net fastest: 1 for a small one, 0 (each core has one) for others.

    It depends on the net alone, never on a clock, so that the same spec gives the same bits on the same machine.

    Parameters
    ----------
    shapes
        Of the parameters, by name.
    batch_size, states
        Rows of a batch, and the columns that share the hidden weights.
    every
        Whether the output is read at every state.
    """
    rows = {name: states if every or name.startswith("hidden") else 1 for name in shapes}
    weights = {name: shape for name, shape in shapes.items() if name.endswith("_weight")}
    products = sum(rows[name] * math.prod(shape) for name, shape in weights.items())
    if "output_rnn_weight" not in shapes and "page_embedding" in shapes:  # tied
        products += (states if every else 1) * math.prod(shapes["page_embedding"])
    return 1 if 3 * batch_size * products < WORTH_THREADS else 0  # forward, and twice as much backward


def check_provider(provider: str) -> None:
    """Check that onnxruntime has an execution provider, ``cpu`` or ``cuda``; for ``cuda`` load the libraries it wants.

    Raises
    ------
    TrainingError
        If it has not: names those it has, and the package that brings it.
    """
    wanted, package = PROVIDERS[provider]
    there = onnxruntime.get_available_providers()
    if wanted not in there:
        raise TrainingError(
            f"provider {provider}: this onnxruntime {onnxruntime.__version__} has no {wanted}, but {', '.join(there)}; "
            f"pip uninstall onnxruntime, then pip install {package}, or train with --provider cpu"
        )
    if provider != "cpu" and hasattr(onnxruntime, "preload_dlls"):  # from 1.21 on
        with redirect_stdout(StringIO()):  # it prints which of pip's packages of CUDA it lacks, which may lie elsewhere
            onnxruntime.preload_dlls()


def open_session(
    content: bytes, threads: int = 0, provider: str = "cpu", *, captured: bool = False
) -> onnxruntime.InferenceSession:
    """Return a session of a generated graph.

    Parameters
    ----------
    content
        A serialised ONNX model.
    threads
        Intra-op threads; 0: one for each core.
    provider
        ``cpu``, or ``cuda`` for an NVIDIA GPU, which computes in float32 throughout: TF32 would keep 10 bits of 23.
    captured
        Whether a GPU is to repeat the kernels of the first run as a CUDA graph: the arrays that it reads and writes are
        bound, and stay where they are; the first run may be made several times.

    Raises
    ------
    ModelError
        If onnxruntime cannot run the model.
    TrainingError
        If the provider finds nothing to run it on.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that spin between operators take the cores from the solver's own work, and slow small nets down.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    wanted = PROVIDERS[provider][0]
    capture = {"enable_cuda_graph": "1"} if captured and provider == "cuda" else {}
    providers: list[Any] = [
        (wanted, OPTIONS.get(provider, {}) | capture),
        *(["CPUExecutionProvider"] if provider != "cpu" else []),
    ]
    try:
        session = onnxruntime.InferenceSession(content, options, providers=providers)
    except Exception as error:  # onnxruntime's exceptions share no public base
        raise ModelError(f"onnxruntime cannot run the generated graph: {error}") from error
    if wanted not in session.get_providers():  # it falls back to the CPU without a word
        raise TrainingError(
            f"provider {provider}: onnxruntime has {wanted}, but finds no device or driver; {NO_DEVICE}"
        )
    return session


class Graph:
    """A generated graph whose parameters are the caller's arrays, read where they lie at every run.

    Parameters
    ----------
    content
        A serialised ONNX model with parameters as inputs: gradient, loss or inference.
    weights
        The parameters by name; changing them in place changes the next run.
    threads
        Intra-op threads; 0: one for each core.

    Attributes
    ----------
    inputs
        Shape of each input by name; an axis of any length is its name, a str.
    outputs
        Names of the outputs.

    Raises
    ------
    ModelError
        If onnxruntime cannot run the model.
    """

    def __init__(self, content: bytes, weights: Mapping[str, Array], threads: int = 0) -> None:
        self._session = open_session(content, threads)
        self.inputs = {value.name: tuple(value.shape) for value in self._session.get_inputs()}
        self.outputs = [value.name for value in self._session.get_outputs()]
        self._binding = self._session.io_binding()
        for name in self.inputs.keys() & weights.keys():
            self._binding.bind_cpu_input(name, weights[name])
        self._blobs = [name for name in self.inputs if name not in weights]
        self._written: dict[str, Array] = {}
        self._rows = -1
        self._given: dict[str, npt.NDArray[Any]] = {}
        self._results: dict[str, npt.NDArray[Any]] = {}
        for name in self.outputs:  # get_outputs keeps the order in which outputs are bound first: this one
            self._binding.bind_output(name, "cpu")

    def write_to(self, output: str, array: Array) -> None:
        """Have every run write ``output`` into ``array``, contiguous and of its shape."""
        self._written[output] = array
        self._bind(output, array)

    def run(self, blobs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Run on a batch; return the outputs by name, which the next run may overwrite.

        ``blobs`` may hold more than the graph reads.
        """
        if self._rows != (rows := len(blobs[self._blobs[0]])):
            self._rows = rows
            return self._first(blobs)
        for name, array in self._given.items():
            np.copyto(array, blobs[name], casting="no")
        self._session.run_with_iobinding(self._binding)
        return self._results

    def _first(self, blobs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Run on a batch of another length, and bind arrays of its shapes for those to come."""
        self._given = {name: np.array(blobs[name], order="C") for name in self._blobs}
        for name, array in self._given.items():
            self._binding.bind_cpu_input(name, array)
        for name in self.outputs:
            if name not in self._written:
                self._binding.bind_output(name, "cpu")
        self._session.run_with_iobinding(self._binding)
        values = zip(self.outputs, self._binding.get_outputs(), strict=True)
        self._results = self._written | {name: value.numpy() for name, value in values if name not in self._written}
        for name, array in self._results.items():
            self._bind(name, array)
        return self._results

    def _bind(self, output: str, array: npt.NDArray[Any]) -> None:
        self._binding.bind_output(output, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
