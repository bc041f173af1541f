"""How parameters start: the spread of xavier and msra by each variance_norm, beside real Caffe's own fillers."""

import json
from pathlib import Path

import numpy as np
import pytest
from caffe_process import Caffe

from generator.caffe.prototxt import learnable
from generator.caffe.shapes import infer
from generator.caffe.source import Prototxt

pytestmark = pytest.mark.oracle

LAYERS = {
    "product": 'type: "InnerProduct" inner_product_param { num_output: 900 bias_term: false weight_filler { FILLER } }',
    "transposed": 'type: "InnerProduct" inner_product_param { num_output: 900 bias_term: false transpose: true '
    "weight_filler { FILLER } }",
    "table": 'type: "Embed" embed_param { num_output: 40 input_dim: 900 bias_term: false weight_filler { FILLER } }',
    "factor": 'type: "Scale" scale_param { filler { FILLER } }',
    "summand": 'type: "Bias" bias_param { filler { FILLER } }',
}
FILL = """
import json, sys
import caffe
net = caffe.Net(sys.argv[1], caffe.TRAIN)
spread = {name: [float(abs(b[0].data).max()), float(b[0].data.std())] for name, b in net.params.items()}
print(json.dumps(spread))
"""


@pytest.mark.parametrize("norm", ["FAN_IN", "FAN_OUT", "AVERAGE"])
@pytest.mark.parametrize("kind", ["xavier", "msra"])
def test_every_variance_norm_spreads_as_in_caffe(caffe: Caffe, tmp_path: Path, kind: str, norm: str) -> None:
    filler = f'type: "{kind}" variance_norm: {norm}'
    net = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 5000 } } }\n'
    net += 'layer { name: "id" type: "Input" top: "id" input_param { shape { dim: 2 } } }\n'
    for name, layer in LAYERS.items():
        bottom = "id" if name == "table" else "x"
        net += f'layer {{ name: "{name}" bottom: "{bottom}" top: "{name}" {layer.replace("FILLER", filler)} }}\n'
    (tmp_path / "net.prototxt").write_text(net)
    theirs = json.loads(caffe.script(FILL, tmp_path / "net.prototxt"))

    source = Prototxt.read(tmp_path / "net.prototxt")
    shapes = infer(source, "TRAIN", declared=True).parameters
    rng = np.random.default_rng(0)
    for parameter in learnable(source.net):
        layer = parameter.places[0][0]
        drawn = parameter.filler.draw(shapes[parameter.name], rng)
        largest, deviation = theirs[layer]
        # The one or two blobs of 5,000 numbers are told by their spread to a few per cent, the others better.
        assert drawn.std() == pytest.approx(deviation, rel=0.04), layer
        if kind == "xavier":
            assert np.abs(drawn).max() == pytest.approx(largest, rel=0.005), layer
