"""A trained net for other readers of Caffe's files, and its weights as Caffe itself would save them."""

from pathlib import Path
from typing import Any

import numpy as np

from generator.caffe.caffemodel import write_caffemodel, write_layers
from generator.caffe.portable import input_sizes, portable_layers
from generator.codegen.net import net_of
from generator.data.store.folder import replacing_folder
from generator.export.portable import MIXTURE, TABLES
from generator.export.trained import VOCABULARIES, Trained
from generator.files import write_bytes, write_text
from generator.spec import dump_spec

__all__ = ["PORTABLE", "export_caffe", "export_caffemodel"]

PORTABLE = "deploy.portable.prototxt"
WEIGHTS = "deploy.portable.caffemodel"
FILES = (PORTABLE, WEIGHTS, "spec.yaml", *VOCABULARIES, TABLES, MIXTURE)


def export_caffe(run: Path, folder: Path) -> dict[str, int]:
    """Write the portable net of a run with its weights, spec and vocabularies into a folder, all of it or nothing.

    Returns
    -------
    dict
        The size of each input of the net, by name.

    Raises
    ------
    ModelError
        The run holds no model; the weights would pass 2 GiB; ``folder`` holds something else than an earlier export.
    """
    trained = Trained.of(run)
    weights, mixture, portable = trained.weights(), trained.mixture(), trained.net(PORTABLE)
    layers = portable_layers(trained.net("deploy.prototxt"), portable, {**weights, **mixture})
    net = net_of(trained.spec, portable=True)
    tables = {name: weights[name] for name in ("page_embedding", "bought_embedding") if name in weights}
    outside: dict[str, Any] = {name: table for name, table in tables.items() if not net.holds(len(table))}
    with replacing_folder(folder, PORTABLE, FILES) as beside:
        write_text(beside / PORTABLE, trained.texts[PORTABLE])
        write_layers(beside / WEIGHTS, trained.spec.name, layers)
        write_text(beside / "spec.yaml", dump_spec(trained.spec))
        for name in VOCABULARIES:
            write_bytes(beside / name, (trained.file.parent / name).read_bytes())
        for file, arrays in ((TABLES, outside), (MIXTURE, mixture)):
            if arrays:
                np.savez(beside / file, **arrays)
    return input_sizes(portable)


def export_caffemodel(run: Path, path: Path) -> None:
    """Write the weights of a run as Caffe saves them: a copy in each layer that uses a parameter.

    Raises
    ------
    ModelError
        The run holds no model; the file would pass 2 GiB.
    """
    trained = Trained.of(run)
    net, deploy = (trained.net(name) for name in ("train_val.prototxt", "deploy.prototxt"))
    write_caffemodel(path, net, trained.weights(), also=[deploy], all_uses=True)
