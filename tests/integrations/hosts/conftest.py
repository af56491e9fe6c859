from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.integrations.hosts.studio import Studio, open_studio


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with open_studio(tmp_path_factory.mktemp("hosts")) as opened:
        yield opened
