"""The embedded store and a client that is not ours: kurrentdbclient, in an environment of its own."""

import asyncio
import os
import subprocess
import venv
from pathlib import Path

import pytest

from edge.event_store.embedded.server import serve

HERE = Path(__file__).parent
LOCK = HERE / "requirements-foreign.lock"
# The steps that the program tells when they are done.
STEPS = ["append_and_conflict", "read", "subscribe", "delete", "what_is_not_there"]

pytestmark = [pytest.mark.package, pytest.mark.timeout(600), pytest.mark.xdist_group("package")]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    environment = tmp_path_factory.mktemp("foreign") / "environment"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    # The lock names all there is; pip alone would refuse grpcio for being asked for as grpcio[protobuf].
    installed = subprocess.run(
        [*pip, "--no-deps", "--require-hashes", "-r", str(LOCK)], capture_output=True, text=True, check=False
    )
    if installed.returncode != 0 and "CI" not in os.environ:
        pytest.skip(f"the foreign client cannot be installed: {installed.stderr[-300:]}")
    assert installed.returncode == 0, installed.stderr
    return python


@pytest.mark.parametrize("scheme", ["esdb", "esdb+discover", "kurrentdb", "kurrentdb+discover"])
async def test_a_foreign_client_appends_meets_conflicts_reads_follows_and_deletes(python: Path, scheme: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "PYTHONHOME"}}
    async with serve(("127.0.0.1", 0), None) as store:
        program = await asyncio.create_subprocess_exec(
            *(python, HERE / "foreign_client.py", store.uri.replace("esdb", scheme)),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        told, failed = await program.communicate()
    assert (told.decode().split(), program.returncode) == (STEPS, 0), failed.decode()[-2000:]
