"""`python -m edge.contract`: write the JSON Schemas anew after a model has changed."""

import json
from pathlib import Path

from edge.contract.registry import schemas

SCHEMA_FOLDER = Path(__file__).parent / "schemas"


def schema_text(schema: object) -> str:
    """Write a schema as its file holds it."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write every schema; remove what no model stands behind."""
    wanted = schemas()
    for path in SCHEMA_FOLDER.glob("*.json"):
        if path.name not in wanted:
            path.unlink()
    for name, schema in wanted.items():
        (SCHEMA_FOLDER / name).write_text(schema_text(schema), encoding="utf-8")


if __name__ == "__main__":
    main()
