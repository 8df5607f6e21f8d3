"""One server for each module of tests."""

from collections.abc import Iterator

import pytest

from tests.fuzz.sending import Victim


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    victim = Victim(tmp_path_factory.mktemp("victim"))
    yield victim
    victim.still_serves()
    victim.close()
