"""Damaged input of every kind, in masses: drn takes it or refuses it in its own words, and soon.

A few whole inputs of each kind are damaged at random: bytes flipped, pieces moved, lines doubled, and words put in that
mean something where they do not belong. What comes out of a reader must be a value or a `DrnError`. A case is known by
its kind, its seed and its number, so that any can be run again alone.

Example:
  python tests/fuzz/campaign.py --cases 100000
  python tests/fuzz/campaign.py --kind logs --seed 1 --only 4711
"""

import argparse
import random
import re
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from generator.errors import DrnError

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 20  # of the processor: a case that takes more hangs
WAITED = 600  # seconds that a case may wait, for others may be at work
# What means something in YAML, prototxt, JSON, CSV or protobuf, or is at the end of a range.
PIECES = [
    *[bytes([byte]) for byte in b"\x00\x01\x08\x7f\x80\xff\t\n\r ,;:|-?[]{}&*!'\"%@#<>=.0\\/"],
    *[b"nan", b"inf", b"-inf", b"null", b"true", b"-1", b"0", b"1e400", b"1e-400", b"2147483648", b"9" * 400, b"010"],
    *[b"9223372036854775808", b"1_0", b"0x1F", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xe2\x80\xa8", "é😀".encode()],
    *[b"[" * 200, b"{a: " * 100, b'{"a":' * 100, b"layer { " * 60, b"- ", b"<<: *a", b"&a ", b"\n\n", b"\r\n", b'"\n"'],
    *[b"1970-01-01", b"9999-12-31T23:59:60Z", b"{{ 1 }}", b"\x0a\xff\xff\xff\xff\x0f", b"\x80" * 11],
]
TOKEN = re.compile(rb"[\w.+-]+")
VALUES = [
    b"0",
    b"-1",
    b"1",
    b"2",
    b"3",
    b"65536",
    b"2147483647",
    b"1e30",
    b"1e-30",
    b"0.5",
    b"nan",
    b"true",
    b"null",
    b"''",
]


def damaged(seeds: Sequence[bytes], rng: random.Random) -> bytes:
    """Return one of ``seeds``, damaged one to six times."""
    content = bytearray(rng.choice(seeds))
    for _ in range(rng.randint(1, 6)):
        at, stop = sorted(rng.randrange(len(content) + 1) for _ in range(2))
        stop = min(stop, at + rng.choice((1, 4, 40, 4000)))
        lines = bytes(content).split(b"\n")
        line = rng.randrange(len(lines))
        kind = rng.randrange(14)
        tokens = [match.span() for match in TOKEN.finditer(content)] if kind > 7 else []
        if tokens:  # what stays well formed gets furthest
            begin, end = rng.choice(tokens)
            others = VALUES if kind < 11 else TOKEN.findall(rng.choice(seeds)) or VALUES
            content[begin:end] = rng.choice(others)
        elif kind == 0 and at < len(content):
            content[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            content[at:stop] = b""
        elif kind == 2:
            content[at:at] = content[at:stop]
        elif kind == 3:
            content[at:at] = rng.choice(PIECES)
        elif kind == 4:
            content[at:stop] = rng.choice(PIECES)
        elif kind == 5:
            lines.insert(rng.randrange(len(lines) + 1), lines[line])
            content = bytearray(b"\n".join(lines))
        elif kind == 6:
            other = rng.choice(seeds)
            cut = rng.randrange(len(other) + 1)
            content[at:at] = other[cut : cut + rng.choice((4, 40, 400))]
        else:
            words = bytes(content).split(b" ")
            words[rng.randrange(len(words))] = rng.choice(PIECES)
            content = bytearray(b" ".join(words))
    return bytes(content[: 1 << 16])


@dataclass(frozen=True)
class Kind:
    """A kind of input: whole ones, and what reads one."""

    seeds: Sequence[bytes]
    read: Callable[[bytes], object]


def specs(_folder: Path) -> Kind:
    """Specs: read, and the small ones rendered and parsed again."""
    from generator.caffe.prototxt import parse_net, parse_solver
    from generator.codegen.artefacts import generate_text
    from generator.spec import dump_spec, parse_spec

    def read(content: bytes) -> None:
        spec = parse_spec(content.decode("utf-8", "surrogateescape"), "fuzz.yaml")
        assert parse_spec(dump_spec(spec), "again.yaml") == spec
        if max(spec.window, spec.history) > 8 or spec.solver.epochs:
            return
        texts = generate_text(spec, ["caffe"])
        parse_net(texts["train_val.prototxt"], "train_val.prototxt")
        parse_solver(texts["solver.prototxt"], "solver.prototxt")

    return Kind([path.read_bytes() for path in sorted((ROOT / "arch_specs").glob("*.yaml"))], read)


def plans(folder: Path) -> Kind:
    """Plans of `drn tune` and `drn experiment`, beside the specs they name."""
    from generator.experiment import plan as experiment
    from generator.tuning import plan as tuning

    for path in (ROOT / "arch_specs").rglob("*.yaml"):
        copy = folder / path.relative_to(ROOT / "arch_specs")
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
    seeds = [path.read_bytes() for name in ("tune", "experiments") for path in sorted((folder / name).glob("*.yaml"))]

    def read(content: bytes) -> None:
        (folder / "tune/fuzz.yaml").write_bytes(content)
        load = experiment.load_plan if b"experiments" in content else tuning.load_plan
        load(folder / "tune/fuzz.yaml")

    return Kind(seeds, read)


def _small_spec() -> str:
    return (ROOT / "arch_specs/combined.yaml").read_text(encoding="utf-8")


def prototxts(folder: Path) -> Kind:
    """Nets and solvers: explained, and their shapes inferred."""
    from generator.caffe.shapes import batch_first, infer
    from generator.caffe.source import Prototxt
    from generator.inspect.folder import inspect
    from generator.inspect.text import report_text
    from generator.onnxgraph.from_caffe import require_known

    path = folder / "fuzz.prototxt"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        report_text(inspect(path))
        if b"base_lr" in content or b"HDF5Data" in content:  # drn import takes no solvers and no data layers
            return
        source = Prototxt.read(path)
        with suppress(DrnError):
            require_known(source.net, source.places("TEST"))
        batch_first(source, infer(source, "TEST"))

    return Kind([path.read_bytes() for path in sorted((ROOT / "generated").glob("*/*.prototxt"))], read)


def caffemodels(folder: Path) -> Kind:
    """Weights and states of solvers: read for their net, and explained."""
    from generator.caffe.caffemodel import read_caffemodel, write_caffemodel
    from generator.caffe.solverstate import read_solverstate, write_solverstate
    from generator.inspect.folder import inspect
    from generator.inspect.text import report_text
    from generator.spec import parse_spec
    from generator.training.run.generated import Generated

    changes = ["pages=9", "items=7", "top_k=5", "rnn.widths=[4]", "fnn.widths=[3]", "rnn.window=2"]
    made = Generated.of(parse_spec(_small_spec(), "combined.yaml", changes))
    weights, state = made.fresh(), folder / "whole.solverstate"
    write_caffemodel(folder / "whole.caffemodel", made.net, weights, also=[made.deploy])
    write_solverstate(state, 3, "whole.caffemodel", list(weights.values()), 0)

    def read(content: bytes) -> None:
        for name, take in (
            ("fuzz.caffemodel", lambda path: read_caffemodel(path, made.net, made.shapes)),
            ("fuzz.solverstate", lambda path: read_solverstate(path, list(made.shapes.values()))),
            ("fuzz.caffemodel", lambda path: report_text(inspect(path))),
            ("fuzz.solverstate", lambda path: report_text(inspect(path))),
        ):
            (folder / name).write_bytes(content)
            with suppress(DrnError):
                take(folder / name)

    return Kind([(folder / "whole.caffemodel").read_bytes(), state.read_bytes()], read)


LOGS = [
    b"user,session,time,page,event,item\nu1,s1,1,p1,view,\nu1,s1,5,p2,view,\nu1,s1,9,,buy,i1\nu2,s2,20,p1,view,\nu2,s2,31,,buy,i2\n",
    b"1,100,20,pv,1511544070\n1,100,20,buy,1511544090\n2,101,21,pv,1511561733\n2,101,21,cart,1511561800\n",
    b"timestamp,visitorid,event,itemid,transactionid\n1433221332117,257597,view,355908,\n1433224214164,992329,transaction,248676,4\n",
    b'{"user": "u1", "session": "s1", "time": 1, "page": "p1", "event": "view"}\n'
    b'{"user": "u1", "session": "s1", "time": 4, "event": "buy", "item": "i1"}\n',
    b"user_id:token\titem_id:token\ttimestamp:float\n1\t5\t100\n1\t6\t110\n2\t5\t90\n",
    b"1,2014-04-07T10:51:09.277Z,214536502,0\n1,2014-04-07T10:54:09.868Z,214536500,0\n2,2014-04-07T13:56:37.614Z,214662742,0\n",
]


def logs(folder: Path) -> Kind:
    """Event logs: their format told, their rows read."""
    from generator.data.log.detect import detect
    from generator.data.log.importers import read_events

    def read(content: bytes) -> None:
        path = folder / ("fuzz.jsonl" if content[:1] == b"{" else "fuzz.inter" if b":token" in content else "fuzz.csv")
        path.write_bytes(content)
        read_events([path], detect(path), max_bad=1.0)

    return Kind(LOGS, read)


REQUESTS = [
    b'{"session": [["p1", 12], "p2", ["p3", 0.5]], "bought": ["i1", "i2"]}',
    b'{"page": "p1", "dwell": 3.5, "time": 1700000000, "user": "u1", "event": "e1"}',
    b'{"item": "i1", "user": 7}',
    b'{"id": "a", "inputs": [{"name": "page", "shape": [1, 2], "datatype": "INT64", "data": [1, 2]}], '
    b'"outputs": [{"name": "top_item", "parameters": {"binary_data": true}}]}',
]


def requests(folder: Path) -> Kind:
    """Requests: JSON lines of `drn recommend`, and bodies of `drn serve` and of the Open Inference Protocol."""
    from pydantic import ValidationError

    from generator.codegen.artefacts import generate
    from generator.model.model import Model
    from generator.model.text import query_of_json
    from generator.serving.http.bodies import PurchaseBody, VisitBody, findings
    from generator.serving.http.protocol import parse
    from generator.spec import parse_spec

    text = "name: tiny\nnet: rnn\npages: 4\nitems: 4\ntop_k: 2\nrnn: {window: 2, widths: [3]}\n"
    for name, content in generate(parse_spec(text, "tiny.yaml"), ["onnx", "binary"], init=1).items():
        (folder / name).write_bytes(content)
    for name in ("pages.txt", "items.txt"):
        (folder / name).write_text("a\nb\nc\n")
    model = Model(folder / "model.onnx")

    def _in_words(take: Callable[[], object]) -> None:
        try:
            take()
        except ValidationError as error:
            findings(error)

    def read(content: bytes) -> None:
        for take in (
            lambda: model.recommend([query_of_json(content)]),
            lambda: parse(content, None, model),
            lambda: parse(content, len(content) // 2, model),
            lambda: VisitBody.model_validate_json(content),
            lambda: PurchaseBody.model_validate_json(content),
        ):
            with suppress(DrnError):
                _in_words(take)

    return Kind(REQUESTS, read)


KINDS: dict[str, Callable[[Path], Kind]] = {
    "specs": specs,
    "plans": plans,
    "prototxts": prototxts,
    "caffemodels": caffemodels,
    "logs": logs,
    "requests": requests,
}


@contextmanager
def _bounded() -> Iterator[None]:
    """Raise TimeoutError in the main thread after SECONDS of work, or WAITED seconds in all."""

    def late(_number: int, _frame: object) -> None:
        raise TimeoutError(f"no answer after {SECONDS} s of work or {WAITED} s in all")

    timers = {signal.SIGPROF: (signal.ITIMER_PROF, SECONDS), signal.SIGALRM: (signal.ITIMER_REAL, WAITED)}
    before = {number: signal.signal(number, late) for number in timers}
    for timer, seconds in timers.values():
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for number, (timer, _) in timers.items():
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])


@dataclass(frozen=True)
class Failure:
    """A case that ended in no value and no DrnError."""

    kind: str
    seed: int
    number: int
    content: bytes
    trace: str

    def __str__(self) -> str:
        """Return how to run it again, what it holds, and where it ended."""
        again = f"python tests/fuzz/campaign.py --kind {self.kind} --seed {self.seed} --only {self.number}"
        return f"{again}\n{self.content[:400]!r}\n{self.trace}"


def run(name: str, numbers: Sequence[int], seed: int) -> list[Failure]:
    """Run the cases of a kind; return those that failed."""
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        kind = KINDS[name](Path(folder))
        for number in numbers:
            content = damaged(kind.seeds, random.Random(f"{name} {seed} {number}"))
            try:
                with _bounded():
                    kind.read(content)
            except DrnError:
                continue
            except Exception:  # that is what is looked for
                failures.append(Failure(name, seed, number, content, traceback.format_exc()))
    return failures


def main() -> None:
    """Run a campaign; exit 1 if a case failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000, help="of each kind")
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="the number of one case")
    options = parser.parse_args()
    numbers = range(options.cases) if options.only is None else [options.only]
    failed = 0
    for name in options.kind or KINDS:
        began = time.monotonic()
        failures = run(name, numbers, options.seed)
        failed += len(failures)
        sys.stdout.write(f"{name}: {len(numbers)} cases, {len(failures)} failed, {time.monotonic() - began:.0f} s\n")
        shown = {failure.trace.strip().rsplit("\n", 3)[-3:][0]: failure for failure in failures}
        for failure in shown.values():  # one of each place
            sys.stdout.write(f"{failure}\n")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
