from pathlib import Path

import pytest

from gsfnas.report import build_report
from gsfnas.testing.records import STUDIES


@pytest.fixture(scope="session", params=STUDIES)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report's folder, one for each kind of study, whole or interrupted."""
    return build_report(STUDIES[request.param](), tmp_path_factory.mktemp("reports") / request.param).parent
