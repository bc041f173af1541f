"""drn: a Caffe-style code generator for session recommenders (Wu et al., ICDE 2016)."""

__version__ = "0.1.0"
