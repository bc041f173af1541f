"""The generated ONNX graphs: parse, initialise, differentiate."""
