"""`python -m edge.contract`: write the JSON Schemas and the quantities anew after a model or the catalogue has changed."""

import json
from pathlib import Path

from edge.contract.registry import quantities, schemas

SCHEMA_FOLDER = Path(__file__).parent / "schemas"
QUANTITIES_FILE = Path(__file__).parent / "quantities.json"


def json_text(document: object) -> str:
    """Write a document as its file holds it."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write every schema and the quantities; remove what no model stands behind."""
    wanted = schemas()
    for path in SCHEMA_FOLDER.glob("*.json"):
        if path.name not in wanted:
            path.unlink()
    for name, schema in wanted.items():
        (SCHEMA_FOLDER / name).write_text(json_text(schema), encoding="utf-8")
    QUANTITIES_FILE.write_text(json_text(quantities()), encoding="utf-8")


if __name__ == "__main__":
    main()
