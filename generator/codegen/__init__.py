"""From a spec to its artefacts: Caffe prototxt, ONNX text and binaries, Triton config, picture, manifest."""
