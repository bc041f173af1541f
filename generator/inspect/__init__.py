"""What is in a file or folder of a model: layers, blobs, parameters, sizes, work, and a picture."""
