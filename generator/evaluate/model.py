"""An exported model: model.onnx with its weights and vocabularies, run by onnxruntime."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from generator.data.vocabulary import Vocabulary
from generator.data.windows import window_of
from generator.errors import DataError, ModelError
from generator.spec.blobs import INPUTS

__all__ = ["Answer", "Model", "Query", "find_model"]

OUTPUTS = ("probability", "top_item", "top_probability")


@dataclass(frozen=True)
class Query:
    """A session to recommend for, in original ids."""

    pages: Sequence[tuple[str, float]]  # page and dwell in seconds, oldest first
    bought: Sequence[str] = ()  # items bought in earlier sessions, oldest first


@dataclass(frozen=True)
class Answer:
    """What a model recommends for one query."""

    items: tuple[tuple[str, float], ...]  # item and probability, best first
    unknown_pages: int  # pages left out: not in the vocabulary
    unknown_bought: int  # purchases left out: not in the vocabulary


def _open(graph: Path | bytes, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _int8(file: Path) -> bytes:
    # Imported here, for reading the model is onnxruntime's work alone where it is taken as it is.
    import onnx

    from generator.onnxgraph.rewrites.int8 import with_int8_output

    return with_int8_output(onnx.load(file)).SerializeToString()


def _up_to(output: str, graph: Path | bytes) -> bytes | None:
    """Return the part of a model that leads to one of its outputs; None where its weights are in files beside it."""
    import onnx  # here for the same reason

    model = onnx.load(graph, load_external_data=False) if isinstance(graph, Path) else onnx.load_from_string(graph)
    inside = model.graph
    if any(one.data_location == onnx.TensorProto.EXTERNAL for one in inside.initializer):
        return None
    needed, nodes = {output}, []
    for node in reversed(inside.node):  # ONNX has each node after those it reads
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(node.input)
    outputs = [one for one in inside.output if one.name == output]
    del inside.node[:], inside.output[:]
    inside.node.extend(reversed(nodes))
    inside.output.extend(outputs)
    return model.SerializeToString()


def find_model(path: Path) -> Path:
    """Return the model.onnx that ``path`` means.

    ``path`` is a run, a model repository (RUN/models), a model of one (RUN/models/NAME), a version of one
    (RUN/models/NAME/1) or the ONNX file itself. Of several versions the highest number is taken.

    Raises
    ------
    ModelError : there is none, or more than one model.
    """
    if path.is_file():
        return path
    if not path.is_dir():
        raise ModelError(
            f"{path}: there is no such file or folder; train a model by: drn train SPEC --data DIR -o {path}"
        )
    if (path / "model.onnx").is_file():
        return path / "model.onnx"
    if found := _newest(path):
        return found
    models = path / "models" if (path / "models").is_dir() else path
    named = {folder.name: found for folder in sorted(models.iterdir()) if (found := _newest(folder))}
    if not named:
        raise ModelError(
            f"{path}: there is no models/NAME/VERSION/model.onnx in it; "
            "is this the folder given to drn train -o, and has the training come to its end?"
        )
    if len(named) > 1:
        raise ModelError(f"{path}: it holds the models {', '.join(named)}; name one, such as {models / min(named)}")
    return next(iter(named.values()))


def _newest(folder: Path) -> Path | None:
    """Return the model.onnx of the version folder with the highest number."""
    if not folder.is_dir():
        return None
    versions = [inner for inner in folder.iterdir() if inner.name.isdecimal() and (inner / "model.onnx").is_file()]
    return max(versions, key=lambda inner: int(inner.name)) / "model.onnx" if versions else None


class Model:
    """A net with its weights and its vocabularies, ready to score.

    Parameters
    ----------
    path : as `find_model` takes it
    threads : of onnxruntime within an operator; 0 takes all cores. One is best for single requests. `scores` takes one
        whatever their number: for more, call it in several threads, with some of the rows in each.
    int8 : whether the output layer multiplies in 8 bits, for speed where items are many; its last digits suffer

    Attributes
    ----------
    name : the model's name in its repository, or the file's name outside one
    pages, items : Vocabulary
    sizes : columns of each input blob: n of ``page``, H of ``history_page``, K of ``bought``; absent when not read

    Raises
    ------
    ModelError : the file is missing, broken, or is no model of drn.
    """

    def __init__(self, path: Path, threads: int = 1, *, int8: bool = False) -> None:
        self.file = find_model(path)
        version = self.file.parent
        in_repository = version.name.isdecimal() and self.file.name == "model.onnx"
        self.name = version.parent.name if in_repository else self.file.stem
        self._int8, self._opening = int8, threading.Lock()
        try:
            self._session = _open(_int8(self.file) if int8 else self.file, threads)
        except Exception as error:  # onnxruntime's exceptions have no common root but this
            raise ModelError(
                f"{self.file}: onnxruntime cannot load it ({str(error).splitlines()[0]}); "
                "it is broken or no ONNX model, export it again by drn train"
            ) from error
        self.sizes = self._check()
        self.pages = self._vocabulary("pages.txt")
        self.items = self._vocabulary("items.txt")
        if len(self.items) > self.width - 1:
            raise ModelError(
                f"{version / 'items.txt'}: it lists {len(self.items)} items but model.onnx knows {self.width - 1}; "
                "the two are not of one training, export the model again by drn train"
            )

    def _vocabulary(self, name: str) -> Vocabulary:
        file = self.file.parent / name
        if not file.is_file():
            raise ModelError(f"{file}: it is missing; model.onnx needs the {name} of its data folder beside it")
        return Vocabulary.read(file)

    def _check(self) -> dict[str, int]:
        """Return the input sizes, and keep N+1 and top_k, of a graph that keeps to drn's contract."""
        inputs = {one.name: one for one in self._session.get_inputs()}
        outputs = {one.name: one for one in self._session.get_outputs()}
        foreign = [
            name
            for name, one in inputs.items()
            if name not in INPUTS or INPUTS[name].tensor_type != one.type or len(one.shape) != 2
        ]
        missing = [name for name in OUTPUTS if name not in outputs]
        if foreign or missing or not inputs:
            what = f"the input {foreign[0]}" if foreign else f"no output {missing[0]}" if missing else "no input"
            raise ModelError(
                f"{self.file}: it has {what}, so it is no inference model of drn with its weights inside; "
                "give the model.onnx that drn train exports"
            )
        widths = {name: one.shape[1] for name, one in inputs.items()}
        widths |= {name: outputs[name].shape[1] for name in ("probability", "top_item")}
        for name, width in widths.items():
            if not isinstance(width, int):
                raise ModelError(f"{self.file}: the width of {name} is {width!r}, not a number; export it by drn train")
        self.width = widths.pop("probability")
        self.top_k = widths.pop("top_item")
        return widths

    @cached_property
    def _scorer(self) -> onnxruntime.InferenceSession:
        """The graph up to the probabilities: onnxruntime runs every node, and TopK takes as long as the product."""
        graph = _up_to("probability", _int8(self.file) if self._int8 else self.file)
        return self._session if graph is None else _open(graph, threads=1)

    def scores(self, blobs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Return the probability of each item, (B, N+1) float32.

        Parameters
        ----------
        blobs : at least the inputs of the net, (B, size) each; other blobs are not read

        Raises
        ------
        DataError : a blob is missing or of another size.
        ModelError : onnxruntime fails, as on an id above M.
        """
        with self._opening:  # or the first calls of several threads would open one each
            scorer = self._scorer
        probability: NDArray[np.float32] = self._run(("probability",), blobs, scorer)[0]
        return probability

    def _run(
        self,
        outputs: Sequence[str],
        blobs: Mapping[str, NDArray[Any]],
        session: onnxruntime.InferenceSession | None = None,
    ) -> list[Any]:
        """Return ``outputs`` of the whole graph, or of ``session``, for the rows of ``blobs``."""
        feed = {}
        for name, size in self.sizes.items():
            if name not in blobs:
                raise DataError(f"the model {self.name} reads {name}, which the data lack")
            if blobs[name].shape[1:] != (size,):
                raise DataError(f"the model {self.name} reads {size} columns of {name}, not {blobs[name].shape[1:]}")
            feed[name] = np.ascontiguousarray(blobs[name], INPUTS[name].dtype)
        rows = len(next(iter(feed.values())))
        if rows == 1:
            # onnxruntime multiplies a lone row by another kernel, whose last bits differ from those of any batch.
            feed = {name: np.repeat(values, 2, axis=0) for name, values in feed.items()}
        try:
            found: list[Any] = (session or self._session).run(list(outputs), feed)
        except Exception as error:  # onnxruntime's exceptions have no common root but this
            raise ModelError(f"{self.file}: onnxruntime fails on these rows ({str(error).splitlines()[0]})") from error
        return [values[:rows] for values in found]

    def recommend(self, queries: Sequence[Query], top: int | None = None) -> list[Answer]:
        """Return the ``top`` items for each query, best first; ``top_k`` of the model by default.

        Up to ``top_k`` they come from the graph's own TopK, beyond it from all probabilities. A page or a purchase
        that the vocabulary lacks is left out as if it had not been, and counted.

        Raises
        ------
        ModelError : the model gives a probability that is no number.
        """
        if not queries:
            return []
        top = min(top or self.top_k, len(self.items))
        pages = [self.pages.ids([page for page, _ in query.pages]) for query in queries]
        bought = [self.items.ids(query.bought) for query in queries]
        windows = [
            window_of(ids.tolist(), [seconds for _, seconds in query.pages], items.tolist(), self.sizes)
            for ids, items, query in zip(pages, bought, queries, strict=True)
        ]
        blobs = {name: np.concatenate([window[name] for window in windows]) for name in self.sizes}
        # The graph's TopK may name items beyond a vocabulary shorter than N, which have no original id.
        if top <= self.top_k and len(self.items) == self.width - 1:
            item, probability = self._run(("top_item", "top_probability"), blobs)
        else:
            every = self._run(("probability",), blobs)[0][:, 1 : len(self.items) + 1]
            item = np.argsort(-every, axis=1, kind="stable")
            probability, item = np.take_along_axis(every, item, axis=1), item + 1
        if np.isnan(probability).any():
            raise ModelError(f"{self.file}: it answers NaN, so its weights are broken: train again, smaller base_lr")
        return [
            Answer(
                tuple((self.items.label(i), p) for i, p in zip(ids.tolist(), figures.tolist(), strict=True)),
                unknown_pages=int(np.count_nonzero(pages[row] == 0)),
                unknown_bought=int(np.count_nonzero(bought[row] == 0)),
            )
            for row, (ids, figures) in enumerate(zip(item[:, :top], probability[:, :top], strict=True))
        ]
