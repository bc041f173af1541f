"""Caffe's solver on gradients that onnxruntime computes: nets, solvers and arrays, but no spec and no folder."""
