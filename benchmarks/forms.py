"""The published form of model.onnx beside the one that drn opens it in, by turns: what others of onnxruntime pay.

    python benchmarks/forms.py arch_specs/shop.yaml arch_specs/globo-tuned.yaml

One thread; CPU seconds of a run, the best of the turns. Asserts that both give the same bits.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime

from generator.codegen.render import render_net
from generator.onnxgraph.initialise import embed_weights
from generator.onnxgraph.parse import parameter_shapes, parse
from generator.onnxgraph.rewrites.output_copies import without_output_copies
from generator.onnxgraph.rewrites.scatter_sums import with_one_scatter
from generator.spec import load_spec

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))  # whose sessions and weights are drawn of every kind

from draws import blobs, weights  # noqa: E402 - of the line above

SECONDS = 0.02  # of a turn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("specs", nargs="*", type=Path, default=sorted((ROOT / "arch_specs").glob("*.yaml")))
    parser.add_argument("--batches", nargs="*", type=int, default=[1, 64])
    parser.add_argument("--turns", type=int, default=20)
    options = parser.parse_args()
    print("| spec | batch | published | as drn opens it | ratio |\n|---|---:|---:|---:|---:|", flush=True)
    for path in options.specs:
        spec = load_spec(path)
        model = parse(render_net(spec, "onnx/model.onnxtxt.j2"), "model.onnxtxt")
        published = embed_weights(model, weights(parameter_shapes(model), seed=3))
        forms = [published, without_output_copies(with_one_scatter(published))]
        sessions = [opened(form.SerializeToString()) for form in forms]
        for batch in options.batches:
            inputs = {name: array for name, array in blobs(spec, batch, seed=batch).items() if name != "label"}
            answers = [session.run(None, inputs) for session in sessions]
            assert all(np.array_equal(*pair) for pair in zip(*answers, strict=True)), "the forms differ"
            best = [np.inf, np.inf]
            for turn in range(options.turns):
                for side in (0, 1) if turn % 2 else (1, 0):
                    best[side] = min(best[side], seconds(sessions[side], inputs))
            told = " | ".join(f"{each * 1e6:.0f} µs" for each in best)
            print(f"| {spec.name} | {batch} | {told} | {best[0] / best[1]:.2f} |", flush=True)


def opened(model: bytes) -> onnxruntime.InferenceSession:
    """Return a session of one thread."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])


def seconds(session: onnxruntime.InferenceSession, inputs: dict[str, np.ndarray]) -> float:
    """Return the CPU seconds of a run, of a turn of them."""
    start, runs = time.process_time(), 0
    while time.process_time() - start < SECONDS:
        session.run(None, inputs)
        runs += 1
    return (time.process_time() - start) / runs


if __name__ == "__main__":
    main()
