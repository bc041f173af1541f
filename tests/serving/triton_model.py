"""What Triton's Python backend runs in place of its backend for ONNX, which the wheel lacks."""

import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    """The names are Triton's."""

    def initialize(self, args):
        file = f"{args['model_repository']}/{args['model_version']}/model.onnx"
        self.session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        self.inputs = [one.name for one in self.session.get_inputs()]
        self.outputs = [one.name for one in self.session.get_outputs()]

    def execute(self, requests):
        answers = []
        for request in requests:
            feed = {name: triton.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs}
            found = zip(self.outputs, self.session.run(self.outputs, feed), strict=True)
            answers.append(triton.InferenceResponse([triton.Tensor(name, values) for name, values in found]))
        return answers
