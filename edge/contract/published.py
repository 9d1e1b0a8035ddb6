"""Everything that is published, by the path that it gets in a folder of a reader's own."""

import json
from pathlib import Path

from edge.contract.asyncapi import asyncapi
from edge.contract.registry import quantities, schemas

FOLDER = Path(__file__).parent


def json_text(document: object) -> str:
    """Write a document as its file holds it."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def generated() -> dict[str, str]:
    """Return what is made of the models and the catalogue: the files that `python -m edge.contract` writes."""
    return {
        **{f"schemas/{name}": json_text(schema) for name, schema in schemas().items()},
        "quantities.json": json_text(quantities()),
        "asyncapi.json": json_text(asyncapi()),
    }


def published() -> dict[str, str]:
    """Return every published file: as generated, and the examples."""
    lying = [path for pattern in ("*.json", "*/*.json") for path in FOLDER.glob(pattern)]
    return {path.relative_to(FOLDER).as_posix(): path.read_text(encoding="utf-8") for path in sorted(lying)}
