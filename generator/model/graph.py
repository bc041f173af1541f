"""The inference graph of a model.onnx, run by onnxruntime: input blobs to probabilities and top items."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from generator.errors import DataError, ModelError
from generator.model.index import ItemIndex
from generator.model.session import open_session
from generator.spec.blobs import INPUTS

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["InferenceGraph"]

Floats = NDArray[np.float32]
INT8_SINCE = 1, 22  # the first onnxruntime whose MatMulNBits takes 8 bits
SMALL = 2**29  # bytes of a model that may be held twice while it is opened
OUTPUTS = ("probability", "top_item", "top_probability")


class InferenceGraph:
    """A net with its weights, ready to run.

    Parameters
    ----------
    file
        The model.onnx.
    name
        What error messages call the model.
    threads
        Of onnxruntime within an operator; 0 takes all cores. `probabilities` takes one whatever their number.
    int8
        Whether the output layer multiplies in 8 bits.
    resident
        Whether it stays for long: weights in a file beside the model are read into memory, since onnxruntime maps them,
        and a file that is written to in place changes the net; up to 512 MiB the graph goes without a copy that only
        other runtimes need.

    Attributes
    ----------
    sizes
        Columns of each input blob: n of ``page``, H of ``history_page``, K of ``bought``; absent when not read.
    kinds
        ONNX type of each input and output.
    width
        N+1 and the slots, the columns of ``probability``.
    slots
        How many of them are slots.
    top_k
        The columns of ``top_item`` and ``top_probability``.

    Raises
    ------
    ModelError
        The file is broken, or is no inference model of drn.
    """

    def __init__(self, file: Path, name: str, threads: int = 1, *, int8: bool = False, resident: bool = False) -> None:
        self._file, self._name, self._int8, self._opening = file, name, int8, threading.Lock()
        try:
            self._weights = _weights_beside(file) if resident else {}  # onnxruntime works on them where they are
            graph = _int8(file) if int8 else file
            self._session = open_session(_quick(graph) if resident else graph, threads, self._weights)
        except ModelError:
            raise
        except Exception as error:  # onnxruntime's exceptions have no common root but this
            raise ModelError(
                f"{file}: onnxruntime cannot load it ({str(error).splitlines()[0]}); "
                "it is broken or no ONNX model, export it again by drn train"
            ) from error
        inputs = {one.name: one for one in self._session.get_inputs()}
        outputs = {one.name: one for one in self._session.get_outputs()}
        foreign = [
            blob
            for blob, one in inputs.items()
            if blob not in INPUTS or INPUTS[blob].tensor_type != one.type or len(one.shape) != 2
        ]
        missing = [name for name in OUTPUTS if name not in outputs]
        if foreign or missing or not inputs:
            what = f"the input {foreign[0]}" if foreign else f"no output {missing[0]}" if missing else "no input"
            raise ModelError(
                f"{file}: it has {what}, so it is no inference model of drn with its weights inside; "
                "give the model.onnx that drn train exports"
            )
        widths = {name: one.shape[1] for name, one in inputs.items()}
        widths |= {name: outputs[name].shape[1] for name in ("probability", "top_item")}
        for blob, width in widths.items():
            if not isinstance(width, int):
                raise ModelError(f"{file}: the width of {blob} is {width!r}, not a number; export it by drn train")
        self.width: int = widths.pop("probability")
        self.top_k: int = widths.pop("top_item")
        self.slots = int(self._session.get_modelmeta().custom_metadata_map.get("slots", 0))
        self.sizes: dict[str, int] = widths
        self.kinds: dict[str, str] = {name: one.type for name, one in (inputs | outputs).items()}

    def run(self, outputs: Sequence[str], blobs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Return ``outputs`` for B rows of ``blobs``; a row's do not depend on the other rows.

        Parameters
        ----------
        outputs
            Of ``probability`` float32 (B, N+1), ``top_item`` int64 (B, top_k), ``top_probability`` float32 (B, top_k).
        blobs
            At least the inputs of the net, (B, size) each; other blobs are not read.

        Raises
        ------
        DataError
            A blob is missing or of another size.
        ModelError
            onnxruntime fails, as on an id above M.
        """
        return self._run(self._session, outputs, blobs)

    def probabilities(self, blobs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Return ``probability`` alone, for less work than `run`; any number of threads may call it."""
        with self._opening:  # or the first calls of several threads would open one each
            scorer = self._scorer
        return self._run(scorer, ("probability",), blobs)[0]

    @cached_property
    def _scorer(self) -> onnxruntime.InferenceSession:
        """The graph up to the probabilities: onnxruntime runs every node, and TopK takes as long as the product."""
        graph = _up_to("probability", _int8(self._file) if self._int8 else self._file)
        return self._session if graph is None else open_session(graph, threads=1)

    def near(self, index: ItemIndex, blobs: Mapping[str, NDArray[Any]]) -> list[tuple[NDArray[np.int64], Floats]]:
        """Return for each row the ids of the items that an index finds, and their probabilities; raises as `run`."""
        with self._fed(blobs) as (feed, rows):
            return index.probabilities(feed, rows)

    def indexed(self) -> ItemIndex:
        """Return an index of the output layer; ModelError where it is of no form that has one, or past 2 GiB."""
        return ItemIndex(_loaded(self._file, "an index"), self._file, self.width - self.slots, self.kinds)

    def _run(
        self, session: onnxruntime.InferenceSession, outputs: Sequence[str], blobs: Mapping[str, NDArray[Any]]
    ) -> list[NDArray[Any]]:
        with self._fed(blobs) as (feed, rows):
            return [values[:rows] for values in session.run(list(outputs), feed)]

    @contextmanager
    def _fed(self, blobs: Mapping[str, NDArray[Any]]) -> Iterator[tuple[dict[str, NDArray[Any]], int]]:
        """Yield the inputs, two rows at least, and how many are wanted; what onnxruntime raises is a ModelError."""
        feed = {}
        for name, size in self.sizes.items():
            if name not in blobs:
                raise DataError(f"the model {self._name} reads {name}, which the data lack")
            if blobs[name].shape[1:] != (size,):
                raise DataError(f"the model {self._name} reads {size} columns of {name}, not {blobs[name].shape[1:]}")
            feed[name] = np.ascontiguousarray(blobs[name], INPUTS[name].dtype)
        rows = len(next(iter(feed.values())))
        if rows == 1:
            # onnxruntime multiplies a lone row by another kernel, whose last bits differ from those of any batch.
            feed = {name: np.repeat(values, 2, axis=0) for name, values in feed.items()}
        try:
            yield feed, rows
        except Exception as error:  # onnxruntime's exceptions have no common root but this
            raise ModelError(f"{self._file}: onnxruntime fails on these rows ({str(error).splitlines()[0]})") from error


def _weights_beside(file: Path) -> dict[str, onnxruntime.OrtValue]:
    """Read the initializers that a model has in the file of weights beside it."""
    beside = file.with_name(f"{file.name}.data")
    if not beside.is_file():
        return {}
    import onnx

    found = {}
    for one in onnx.load(file, load_external_data=False).graph.initializer:
        place = {entry.key: entry.value for entry in one.external_data}
        if one.data_location != onnx.TensorProto.EXTERNAL or place["location"] != beside.name:
            continue
        dtype = onnx.helper.tensor_dtype_to_np_dtype(one.data_type)
        values = np.fromfile(beside, dtype, int(np.prod(one.dims)), offset=int(place.get("offset", 0)))
        found[one.name] = onnxruntime.OrtValue.ortvalue_from_numpy(values.reshape(one.dims))
    return found


def _quick(graph: Path | bytes) -> Path | bytes:
    """Return a graph in the form in which onnxruntime is fastest; one too large to be held twice as it is."""
    if isinstance(graph, Path) and (graph.stat().st_size > SMALL or graph.with_name(f"{graph.name}.data").is_file()):
        return graph
    import onnx

    from generator.onnxgraph.rewrites.output_copies import without_output_copies
    from generator.onnxgraph.rewrites.scatter_sums import with_one_scatter

    model = onnx.load(graph) if isinstance(graph, Path) else onnx.load_from_string(graph)
    return without_output_copies(with_one_scatter(model)).SerializeToString()


def _int8(file: Path) -> bytes:
    """Return a model with output layers in 8 bits; ModelError where this onnxruntime has no product of 8 bits."""
    from generator.onnxgraph.rewrites.int8 import with_int8_output

    model, here = _loaded(file, "int8"), onnxruntime.__version__
    if tuple(int(part) for part in here.split(".")[:2]) < INT8_SINCE:
        raise ModelError(f"int8 wants onnxruntime {'.'.join(map(str, INT8_SINCE))} or newer, and this is {here}")
    return with_int8_output(model).SerializeToString()


def _loaded(file: Path, what: str) -> "ModelProto":
    """Return a model with its weights; ModelError where they are in a file beside it, which ``what`` does not take."""
    # Imported here, for reading the model is onnxruntime's work alone where it is taken as it is.
    import onnx

    model = onnx.load(file, load_external_data=False)
    if any(one.data_location == onnx.TensorProto.EXTERNAL for one in model.graph.initializer):
        raise ModelError(f"{file}: its weights are in a file beside it, past 2 GiB: {what} takes models of one file")
    return model


def _up_to(output: str, graph: Path | bytes) -> bytes | None:
    """Return the part of a model that leads to one of its outputs; None where its weights are in files beside it."""
    import onnx  # here for the same reason

    from generator.onnxgraph.rewrites.outputs import up_to
    from generator.onnxgraph.rewrites.scatter_sums import with_one_scatter

    model = onnx.load(graph, load_external_data=False) if isinstance(graph, Path) else onnx.load_from_string(graph)
    if any(one.data_location == onnx.TensorProto.EXTERNAL for one in model.graph.initializer):
        return None
    return up_to(with_one_scatter(model), output).SerializeToString()
