"""`pipeline.json`: the compiled pipeline on disk, with a format number."""

from __future__ import annotations

import json
from typing import Final

from nbpipe.errors import ConfigurationError
from nbpipe.model.names import why_not_a_step_name
from nbpipe.model.pipeline import Pipeline
from nbpipe.wire.codec import DecodeError, decode, encode

MANIFEST_FORMAT: Final = 1


def manifest_text(pipeline: Pipeline, *, compiler: str) -> str:
    """Give the manifest; the same pipeline gives the same bytes on every machine.

    Args:
        compiler: version of nbpipe, recorded for people.
    """
    content = encode(pipeline)
    assert isinstance(content, dict)
    for parameter, encoded in zip(pipeline.parameters, content["parameters"], strict=True):
        encoded["type"] = parameter.type
    for step in content["steps"]:
        step["notebook"] = f"steps/{step['name']}.ipynb"
    document = {
        "format": MANIFEST_FORMAT,
        "compiler": compiler,
        **content,
        "edges": [encode(edge) for edge in pipeline.edges],
    }
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def read_manifest(text: str, *, where: str) -> Pipeline:
    """Read a manifest.

    Raises:
        ConfigurationError: for a newer format, or content that is no pipeline.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"{where} is not JSON: {error}.", hint="Compile the notebook again."
        ) from None
    if not isinstance(document, dict):
        raise ConfigurationError(f"{where} is not a manifest.", hint="Compile the notebook again.")
    found = document.get("format")
    if type(found) is not int or found < 1:
        raise ConfigurationError(
            f"{where} has no format number.", hint="Compile the notebook again."
        )
    if found > MANIFEST_FORMAT:
        raise ConfigurationError(
            f"{where} has format {found}; this nbpipe reads up to {MANIFEST_FORMAT}.",
            hint="It was compiled by a newer nbpipe "
            f"({document.get('compiler', 'unknown')}): upgrade, or compile it again.",
        )
    content = {k: v for k, v in document.items() if k not in ("format", "compiler", "edges")}
    for parameter in _objects(content, "parameters"):
        parameter.pop("type", None)
    for step in _objects(content, "steps"):
        step.pop("notebook", None)
    try:
        pipeline = decode(Pipeline, content)
    except DecodeError as error:
        raise ConfigurationError(
            f"{where} does not describe a pipeline: {error}.", hint="Compile the notebook again."
        ) from None
    _check(pipeline, where)
    return pipeline


def _check(pipeline: Pipeline, where: str) -> None:
    """Refuse what no notebook gives. Names become file names: none may lead elsewhere."""
    if not pipeline.steps:
        raise ConfigurationError(f"{where} has no steps.", hint="Compile the notebook again.")
    name = pipeline.name
    wrong = [] if _is_file_name(name) else [f"{name!r} cannot name a pipeline"]
    for step in pipeline.steps:
        why = why_not_a_step_name(step.name)
        wrong += [f"{step.name!r} cannot name a step: {why}"] if why else []
    if wrong:
        raise ConfigurationError(f"{where}: {wrong[0]}.", hint="Compile the notebook again.")


def _is_file_name(text: str) -> bool:
    return text not in {"", ".", ".."} and not set(text) & {"/", "\\", "\0"}


def _objects(content: dict[str, object], name: str) -> list[dict[str, object]]:
    items = content.get(name)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
