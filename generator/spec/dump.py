"""A spec written out: as canonical YAML, as a hash, and the JSON Schema of all specs."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel

    from generator.spec.schema import Spec

__all__ = ["dump_spec", "json_schema", "schema_of", "spec_hash"]


def dump_spec(spec: "Spec") -> str:
    """Return ``spec`` as canonical YAML: keys in the order of the schema, defaults left out.

    `parse_spec` reads it back to an equal spec.
    """
    import yaml

    plain = spec.model_dump(exclude_defaults=True)
    return yaml.safe_dump(plain, sort_keys=False, default_flow_style=None, allow_unicode=True, width=120)


def spec_hash(spec: "Spec") -> str:
    """Return the SHA-256 (64 hex digits) of ``spec`` as canonical JSON, defaults filled in.

    It depends on the values alone, not on layout, key order, comments or whether a default was written out.
    """
    import hashlib
    import json

    # Fields that came later are no part of what a spec without them hashes to.
    later: dict[str, Any] = {"solver": {"epochs"}} if spec.solver.epochs is None else {}
    if spec.ensemble == 1:
        later["ensemble"] = True
    if not spec.init.popularity:
        later["init"] = {"popularity"}
    # Adding 0 makes -0.0 the 0.0 that it equals.
    values = json.loads(spec.model_dump_json(exclude=later), parse_float=lambda text: float(text) + 0.0)
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a spec, for editors.

    It holds all bounds of single fields; the rules between fields are checked by `load_spec` alone.
    """
    from pydantic.json_schema import GenerateJsonSchema

    from generator.spec.schema import Spec

    return {"$schema": GenerateJsonSchema.schema_dialect, **schema_of(Spec), "title": "drn spec"}


def schema_of(model: "type[BaseModel]") -> dict[str, Any]:
    """Return the JSON Schema of ``model``, whose fields need no titles: their keys say the same."""
    from pydantic import BaseModel
    from pydantic.json_schema import GenerateJsonSchema

    class Plain(GenerateJsonSchema):
        """Leaves out the titles, which repeat the keys; takes defaults whose class is not compiled yet."""

        def field_title_should_be_set(self, _schema: Any) -> bool:
            return False

        def encode_default(self, dft: Any) -> Any:
            return super().encode_default(dft.model_dump() if isinstance(dft, BaseModel) else dft)

    return model.model_json_schema(schema_generator=Plain)
