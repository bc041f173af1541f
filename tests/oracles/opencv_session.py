"""A session through a net of drn's in OpenCV, as docs/readers.md shows it."""

import cv2

from generator.export.portable import PortableInputs
from generator.model.query import Query

net = cv2.dnn.readNetFromCaffe("caffe/deploy.portable.prototxt", "caffe/deploy.portable.caffemodel")
inputs = PortableInputs("caffe")
session = Query([("home", 5), ("cat-1", 20), ("item-12", 90)], bought=["item-3"])
for name, blob in inputs([session]).items():
    net.setInput(blob, name)
probability = net.forward(inputs.output)[0]
probability /= probability.sum()  # 1, but for a mixture
for item in probability[1:].argsort()[::-1][:5] + 1:  # column 0 is "none"
    print(inputs.items.labels[item - 1], round(float(probability[item]), 4))
