"""Real Caffe builds every golden deploy net."""

from pathlib import Path

import pytest

from generator.spec import load_spec

pytestmark = pytest.mark.oracle

GOLDEN = Path(__file__).parents[1] / "golden"


def test_every_golden_deploy_net_is_built(caffe):
    nets = sorted(GOLDEN.rglob("*.deploy.prototxt"))
    assert nets
    for net in nets:
        spec = load_spec(net.with_name(net.name.replace(".deploy.prototxt", ".yaml")))
        assert caffe.loads(net).blobs["probability"] == (1, spec.items + 1 + spec.slots), net
