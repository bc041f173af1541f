"""The gradients of the two operators that an LSTM needs beyond drn's own: d sigmoid = y - y², d tanh = 1 - y²."""

from generator.onnxgraph.gradients import rule


@rule("Sigmoid")
def sigmoid(node, gradients, tape):
    (x,), (y,), build = node.input, node.output, tape.build
    slope = build.one("Sub", [y, build.one("Mul", [y, y], f"{y}_squared")], f"{y}_slope")
    tape.give(x, build.one("Mul", [gradients[0], slope], f"{x}_grad"))


@rule("Tanh")
def tanh(node, gradients, tape):
    (x,), (y,), build = node.input, node.output, tape.build
    part = build.one("Mul", [gradients[0], build.one("Mul", [y, y], f"{y}_squared")], f"{y}_part")
    tape.give(x, build.one("Sub", [gradients[0], part], f"{x}_grad"))
