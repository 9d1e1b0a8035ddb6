"""`python -m edge.contract`: write the schemas, the quantities and the AsyncAPI document anew.

To be run when a model, the catalogue or a stream has changed.
"""

from edge.contract.published import FOLDER, generated


def main() -> None:
    """Write every generated file; remove the schemas that no model stands behind."""
    wanted = generated()
    for path in (FOLDER / "schemas").glob("*.json"):
        if f"schemas/{path.name}" not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
