"""The groups of artefacts, each text with its template."""

__all__ = ["ALL_GROUPS", "GROUPS", "TRAINED"]

# The text artefacts by group, each with its template.
GROUPS = {
    "caffe": {
        "train_val.prototxt": "caffe/train_val.prototxt.j2",
        "deploy.prototxt": "caffe/deploy.prototxt.j2",
        "solver.prototxt": "caffe/solver.prototxt.j2",
    },
    "portable": {"deploy.portable.prototxt": "caffe/deploy.portable.prototxt.j2"},
    "onnx": {"model.onnxtxt": "onnx/model.onnxtxt.j2", "loss.onnxtxt": "onnx/loss.onnxtxt.j2"},
    "triton": {"config.pbtxt": "triton/config.pbtxt.j2"},
    "graph": {"graph.dot": "graph/graph.dot.j2"},
}

# `gradient` is the differentiated graph, `binary` the .onnx files; both need the onnx package, the others none.
ALL_GROUPS = (*GROUPS, "gradient", "binary")

# What is trained is one net; of an ensemble, all else is of its nets side by side.
TRAINED = ("train_val.prototxt", "solver.prototxt", "loss.onnxtxt")
