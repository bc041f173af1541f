"""From a spec to its artefacts: Caffe prototxt, ONNX text and binaries, Triton config, picture, manifest."""

from generator.codegen.artefacts import ALL_GROUPS, File, compare, diff, generate, generate_text, write, write_all

__all__ = ["ALL_GROUPS", "File", "compare", "diff", "generate", "generate_text", "write", "write_all"]
