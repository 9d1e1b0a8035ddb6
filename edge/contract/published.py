"""Everything that is published, by the path that it gets in a folder of a reader's own."""

import json
import re
from pathlib import Path

from edge.contract.asyncapi import asyncapi
from edge.contract.registry import quantities, schemas

FOLDER = Path(__file__).parent
# In the wheel the page lies beside the schemas; in a checkout, at the root.
_PAGES = (FOLDER / "CONTRACT.md", FOLDER.parents[1] / "CONTRACT.md")
# A file's name in bold, and what is in it.
_PRINTED = re.compile(r"^\*\*`([^`]+)`\*\*\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


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


def page() -> str:
    """Return CONTRACT.md."""
    return next(path for path in _PAGES if path.is_file()).read_text(encoding="utf-8")


def printed(text: str) -> dict[str, str]:
    """Return the files that a page prints, as they stand there."""
    return dict(_PRINTED.findall(text))


def published() -> dict[str, str]:
    """Return every published file: as generated, the examples and stories, the page, and the files that it prints."""
    lying = [path for pattern in ("*.json", "*/*.json", "*/*.ndjson") for path in FOLDER.glob(pattern)]
    text = page()
    files = {path.relative_to(FOLDER).as_posix(): path.read_text(encoding="utf-8") for path in lying}
    return {"CONTRACT.md": text, **printed(text), **dict(sorted(files.items()))}
