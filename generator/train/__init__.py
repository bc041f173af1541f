"""Training without a framework: Caffe's solver on gradients that onnxruntime computes. See `train` in `loop`."""
