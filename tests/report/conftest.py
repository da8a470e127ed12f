import functools
from pathlib import Path

import pytest
import synthetic

from gsfnas.report import build_report

STUDIES = {
    "placement": synthetic.placement_study,
    "multi": synthetic.multi_study,
    "anchors": synthetic.anchors_study,
    "failed": synthetic.failed_study,
    "bare": synthetic.bare_study,
    "running": synthetic.running_study,
    "hostile": synthetic.hostile_study,
    "rows": synthetic.rows_study,
    "rows-only": functools.partial(synthetic.rows_study, has_baseline=False),
}


@pytest.fixture(scope="session", params=STUDIES)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report's folder, one for each kind of study, whole or interrupted."""
    return build_report(STUDIES[request.param](), tmp_path_factory.mktemp("reports") / request.param).parent
