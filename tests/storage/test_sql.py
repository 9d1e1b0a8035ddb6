from pathlib import Path

import pytest

from edge.storage import sql
from edge.storage.database import open_database

STATEMENTS = {name: text for name, text in vars(sql).items() if name.isupper() and not name.startswith("_")}
SOURCES = Path(sql.__file__).parent.glob("*.py")


@pytest.mark.parametrize("name", STATEMENTS)
async def test_a_named_statement_fits_the_newest_layout(name: str, tmp_path: Path) -> None:
    statement = STATEMENTS[name]
    async with open_database(tmp_path) as database:
        assert await database.fetch_all(f"EXPLAIN {statement}", (0,) * statement.count("?"))


def test_each_named_statement_is_used() -> None:
    source = "".join(file.read_text(encoding="utf-8") for file in SOURCES)
    assert [name for name in STATEMENTS if f"sql.{name}" not in source] == []
