"""Caffe's own files: prototxt, caffemodel and solverstate, read and written without Caffe."""
