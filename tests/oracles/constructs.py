"""Small Caffe nets, each with one construct, to be read by others: what of Caffe's format they take."""

from dataclasses import dataclass, field

__all__ = ["CONSTRUCTS", "Construct"]


@dataclass(frozen=True)
class Construct:
    """A net of few layers, its inputs of one row by name, and the blob `out`; ids are whole numbers below ``ids``."""

    what: str
    layers: str
    inputs: dict[str, tuple[int, ...]] = field(default_factory=lambda: {"x": (1, 3)})
    ids: int = 0

    @property
    def prototxt(self) -> str:
        """The text of the net."""
        given = [
            f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
            + " ".join(f"dim: {size}" for size in shape)
            + " } } }\n"
            for name, shape in self.inputs.items()
        ]
        return 'name: "probe"\n' + "".join(given) + self.layers


def layer(type_: str, bottoms: str, top: str, rest: str = "", name: str = "") -> str:
    ends = " ".join([f'bottom: "{each}"' for each in bottoms.split()] + [f'top: "{each}"' for each in top.split()])
    return f'layer {{ name: "{name or top}" type: "{type_}" {ends} {rest} }}\n'


def product(bottom: str, top: str, rest: str = "num_output: 3", param: str = "") -> str:
    return layer("InnerProduct", bottom, top, f"{param} inner_product_param {{ {rest} }}")


PAIR = {"x": (1, 3), "y": (1, 3)}
SHARED = 'param { name: "w" } param { name: "b" }'
CONSTRUCTS = [
    Construct(
        "InnerProduct with a bias, ReLU in place",
        product("x", "a") + layer("ReLU", "a", "a", name="r") + product("a", "out"),
    ),
    Construct("InnerProduct, `bias_term: false`", product("x", "out", "num_output: 3 bias_term: false")),
    Construct("InnerProduct, `transpose: true`", product("x", "out", "num_output: 3 transpose: true")),
    Construct("InnerProduct, `axis: 2`", product("x", "out", "num_output: 4 axis: 2"), {"x": (1, 2, 3)}),
    Construct("parameters shared by name", product("x", "a", param=SHARED) + product("a", "out", param=SHARED)),
    Construct("Softmax", product("x", "a") + layer("Softmax", "a", "out")),
    Construct(
        "Slice with `slice_point`, Concat",
        layer("Slice", "x", "a b", "slice_param { axis: 1 slice_point: 1 }", "s") + layer("Concat", "b a", "out"),
    ),
    Construct(
        "Slice without points",
        layer("Slice", "x", "a b c", "slice_param { axis: 1 }", "s") + layer("Concat", "c a b", "out"),
    ),
    Construct("Eltwise SUM", layer("Eltwise", "x y", "out", "eltwise_param { operation: SUM }"), PAIR),
    Construct("Eltwise PROD", layer("Eltwise", "x y", "out", "eltwise_param { operation: PROD }"), PAIR),
    Construct(
        "Eltwise SUM with `coeff: 1 coeff: -1`",
        layer("Eltwise", "x y", "out", "eltwise_param { operation: SUM coeff: 1 coeff: -1 }"),
        PAIR,
    ),
    Construct(
        "Eltwise SUM with other `coeff`",
        layer("Eltwise", "x y", "out", "eltwise_param { operation: SUM coeff: 2 coeff: -1 }"),
        PAIR,
    ),
    Construct(
        "Scale by a second bottom, (B, C) by (B)",
        product("x", "a") + layer("Scale", "a m", "out", "scale_param { axis: 0 }"),
        {"x": (1, 3), "m": (1,)},
    ),
    Construct(
        "Scale by a second bottom of the same shape",
        product("x", "a") + layer("Scale", "a y", "out", "scale_param { axis: 0 }"),
        PAIR,
    ),
    Construct("Bias", product("x", "a") + layer("Bias", "a", "out")),
    Construct("Threshold", product("x", "a") + layer("Threshold", "a", "out", "threshold_param { threshold: 0.5 }")),
    Construct(
        "Power, `scale` and `shift`",
        product("x", "a") + layer("Power", "a", "out", "power_param { scale: 3 shift: 1 }"),
    ),
    Construct("Power, `power: 2`", product("x", "a") + layer("Power", "a", "out", "power_param { power: 2 }")),
    Construct(
        "a sum by Reshape and Pooling AVE",
        layer("Reshape", "x", "i", "reshape_param { shape { dim: 0 dim: 1 dim: 2 dim: 3 } }")
        + layer("Pooling", "i", "p", "pooling_param { pool: AVE kernel_h: 2 kernel_w: 1 stride: 1 }")
        + layer("Reshape", "p", "out", "reshape_param { shape { dim: 0 dim: 3 } }"),
        {"x": (1, 6)},
    ),
    Construct(
        "Embed, one id",
        layer("Embed", "id", "out", "embed_param { input_dim: 9 num_output: 5 bias_term: false }"),
        {"id": (1,)},
        ids=9,
    ),
    Construct(
        "Embed, several ids",
        layer("Embed", "id", "out", "embed_param { input_dim: 9 num_output: 5 bias_term: false }"),
        {"id": (1, 4)},
        ids=9,
    ),
    Construct("Silence", product("x", "out") + product("x", "a") + layer("Silence", "a", "", name="silence")),
    Construct("Reduction SUM", product("x", "a") + layer("Reduction", "a", "out", "reduction_param { axis: 1 }")),
    Construct("Tile", product("x", "a") + layer("Tile", "a", "out", "tile_param { axis: 1 tiles: 2 }")),
    Construct("Dropout", layer("Dropout", "x", "a") + product("a", "out")),
]
