"""A search space: genes over a fixed spec, and the proof that it holds no invalid spec."""

import copy
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import Any

from generator.errors import SpecError
from generator.spec import Spec
from generator.spec.check import check_spec
from generator.spec.findings import Finding, Path, Place, Words, dotted
from generator.spec.rules import broken_rules
from generator.spec.schema import field_of
from generator.tuning.genes import Gene, GeneParameter, ListGene

__all__ = ["Space", "flaws"]

UNREAD = {"fnn": "rnn", "rnn": "fnn"}  # the section that a net does not read
MOST = 4096  # combinations of genes that a rule may read together, checked one by one; of more, as many at random


@dataclass(frozen=True)
class Space:
    """Genes by the field of the spec they are of, and the fixed part as plain YAML values."""

    fixed: Mapping[str, Any]
    genes: Mapping[str, Gene]

    def parameters(self) -> dict[str, GeneParameter]:
        """Return what a sampler draws, by parameter."""
        return {
            parameter: distribution
            for name, gene in self.genes.items()
            for parameter, distribution in gene.parameters(name).items()
        }

    def express(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """Return the value of each gene of a drawn genome, by field."""
        return {name: gene.express(name, drawn) for name, gene in self.genes.items()}

    def genes_of(self, spec: Spec | dict[str, Any]) -> dict[str, Any]:
        """Return the genes as a spec, or the plain mapping it is made from, has them, by field.

        Those of a section that it lacks are left out.
        """
        found: dict[str, Any] = {}
        for name in self.genes:
            with suppress(LookupError):
                found[name] = field_of(spec, name)
        return found

    def drawn(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is drawn where genes have ``values``, by parameter; a value its gene cannot have is left out."""
        return {
            parameter: value
            for name, gene in self.genes.items()
            if name in values
            for parameter, value in gene.drawn(name, values[name]).items()
        }

    def plain(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the spec with the genes at ``values`` as plain YAML values, unchecked."""
        plain: dict[str, Any] = copy.deepcopy(dict(self.fixed))
        for name, value in values.items():
            *path, last = name.split(".")
            section = plain
            for step in path:
                if not isinstance(section.get(step), dict):
                    section[step] = {}
                section = section[step]
            section[last] = copy.deepcopy(value)
        return plain

    def spec(self, values: Mapping[str, Any]) -> Spec:
        """Return the spec with the genes at ``values``.

        A section that its net does not read is left out, so that genes which have no say do not tell specs apart.

        Raises
        ------
        SpecError
            The spec does not hold; `flaws` finds that beforehand unless there are very many combinations.
        """
        plain = self.plain(values)
        plain.pop(UNREAD.get(plain.get("net", ""), ""), None)
        try:
            return Spec.model_validate(plain)
        except ValueError as error:
            seen = ", ".join(f"{name} = {value}" for name, value in values.items())
            raise SpecError(f"the search space holds a spec that does not hold: {seen}: {error}") from error

    def readable(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """Return a drawn genome by parameter, choices by value; None for what its list or net does not read."""
        found: dict[str, Any] = {}
        values = self.express(drawn)
        unread = UNREAD.get(values.get("net", self.fixed.get("net", "")), "")
        for name, gene in self.genes.items():
            value = values[name]
            if name.partition(".")[0] == unread:
                found |= dict.fromkeys(gene.parameters(name))
                continue
            if isinstance(gene, ListGene):
                found[f"{name}.length"] = len(value)
                found |= {f"{name}[{i}]": value[i] if i < len(value) else None for i in range(gene.longest)}
            else:
                found[name] = value
        return found


def flaws(space: Space, place: Callable[[Path], Place], gene_place: Callable[[str], Place]) -> list[Finding]:
    """Return what makes specs of ``space`` invalid, each gene or fixed field to blame once for each rule.

    Bounds of single fields are checked at the extremes of each gene, rules between fields at all combinations of the
    extremes of the genes that rules read.

    Parameters
    ----------
    space
        The space.
    place
        Where a field of the fixed part was written.
    gene_place
        Where a gene was written.
    """
    found: dict[tuple[Place, str], Finding] = {}
    for values in _assignments(space):
        for finding in _broken(space, values, place, gene_place):
            # The same rule broken by other numbers is the same flaw.
            found.setdefault((finding.place, re.sub(r"[0-9.]+|\(where.*", "", str(finding.words))), finding)
    return list(found.values())


def _assignments(space: Space) -> Iterator[dict[str, Any]]:
    """Yield the combinations of values to check."""
    extremes = {name: gene.extremes() for name, gene in space.genes.items()}
    first = {name: values[0] for name, values in extremes.items()}
    yield first
    for name, values in extremes.items():
        yield from ({**first, name: value} for value in values[1:])
    coupled = [name for name in space.genes if any(_holds(name, path) for path in _read_by_rules(space.plain(first)))]
    count = 1
    for name in coupled:
        count *= len(extremes[name])
    if count <= MOST:
        combinations: Iterator[tuple[Any, ...]] = product(*(extremes[name] for name in coupled))
    else:
        draw = random.Random(0)  # noqa: S311 - which combinations are checked is no secret
        combinations = (tuple(draw.choice(extremes[name]) for name in coupled) for _ in range(MOST))
    for combination in combinations:
        yield {**first, **dict(zip(coupled, combination, strict=True))}


def _holds(gene: str, path: str) -> bool:
    """Say whether ``gene`` sets the field ``path``, as itself or as a section around it."""
    return path == gene or path.startswith(f"{gene}.")


def _read_by_rules(plain: dict[str, Any]) -> set[str]:
    """Return the fields that rules between fields read."""
    read: set[str] = set()

    def field(path: str) -> object:
        read.add(path)
        return field_of(plain, path)

    # A rule stops at the first field that is absent: sections of their own make all of them present.
    plain = {**plain, "rnn": plain.get("rnn") or {"widths": []}, "fnn": plain.get("fnn") or {"widths": []}}
    try:
        list(broken_rules(field))
    except (TypeError, KeyError, AttributeError):  # a value of the wrong type, reported by its field
        return {"net", "loss", "rnn.layers", "rnn.widths", "fnn.layers", "fnn.widths"}
    return read


def _broken(
    space: Space, values: Mapping[str, Any], place: Callable[[Path], Place], gene_place: Callable[[str], Place]
) -> Iterator[Finding]:
    """Yield what is wrong with one spec of the space, at the gene to blame, or else at the fixed field."""
    _, faults = check_spec(space.plain(values))
    for fault in faults:
        names = [dotted(path) for path in fault.paths]
        gene, words = _blamed(space, names), fault.words()
        if gene is None:
            yield Finding(place(fault.paths[0]), fault.paths[0], words)
            continue
        message = str(words) if names[0] == gene else f"{names[0]}: {words}"
        if len(names) > 1:
            others = (f"{name} = {values[name]}" for name in values if any(_holds(name, path) for path in names))
            message += f" (where {', '.join(others)})"
        yield Finding(gene_place(gene), ("search", gene), Words(message))


def _blamed(space: Space, paths: Sequence[str]) -> str | None:
    """Return the gene that sets the first of ``paths`` which a gene sets."""
    for path in paths:
        for gene in space.genes:
            if _holds(gene, path) or path.startswith(f"{gene}["):
                return gene
    return None
