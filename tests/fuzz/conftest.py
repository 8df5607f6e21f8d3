"""One server for each module of tests."""

from collections.abc import Iterator

import pytest

from tests.fuzz.sending import Victim


@pytest.fixture(scope="module")
def victim() -> Iterator[Victim]:
    victim = Victim()
    yield victim
    victim.still_serves()
    victim.close()
