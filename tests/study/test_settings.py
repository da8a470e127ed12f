import subprocess
import sys

import pytest

from gsfnas.errors import UserError
from gsfnas.executors.local import LocalExecutor
from gsfnas.storages.journal import JournalStorage
from gsfnas.study import StudySettings, plan_study, training_seed
from gsfnas.testing.fake import make_space


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trials": 0}, "`study.trials` must be an integer of at least 2, but got 0"),
        ({"trials": 2.5}, "at least 2, but got 2.5"),
        ({"replicates": 0}, "`study.replicates`"),
        ({"initial_fraction": 1.5}, r"`study.initial_fraction` must be in \[0, 1\], but got 1.5"),
        ({"hours": 0}, "`study.hours` must be above 0, but got 0"),
        ({"name": "../x"}, "`study.name`"),
        ({"name": ""}, "`study.name`"),
        ({"name": 3}, "`study.name` must be letters"),
        ({"name": "x\n"}, "`study.name` must be letters"),
        ({"trials": 10**30}, "`study.trials` must be an integer of at most 100,000, but got 1000000000000000000000000000000"),
        ({"trials": 10**5000}, "`study.trials` must be an integer of at most 100,000, but got a value of type int"),
        ({"trials": None}, "`study.trials` must be an integer of at least 2, but got None"),
        ({"replicates": 10**9}, "`study.replicates` must be an integer of at most 1,000"),
        ({"lag": -1}, "`study.lag` must be an integer of at least 0"),
        ({"seed": 2**63}, "`study.seed` must be an integer of at most 9,223,372,036,854,775,807"),
        ({"hours": float("nan")}, "`study.hours` must be above 0, but got nan"),
        ({"hours": float("inf")}, "`study.hours` must be at most 1,000,000, but got inf"),
        ({"hours": 10**400}, "`study.hours` must be at most 1,000,000, but got 1000"),
        ({"hours": "1"}, "`study.hours` must be above 0, but got '1'"),
        ({"initial_fraction": float("nan")}, r"`study.initial_fraction` must be in \[0, 1\], but got nan"),
        ({"runs": 3}, "`study.runs` must be a folder, but got 3"),
        ({"runs": ""}, "`study.runs` must be a folder, but got ''"),
        ({"runs": "a\0b"}, "`study.runs` must be a folder"),
    ],
)
def test_a_value_out_of_range_is_refused_in_one_line(changes, said):
    with pytest.raises(UserError, match=said) as caught:
        StudySettings(**({"name": "placement"} | changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("workers", [0, 10**6, True, 2.0])
def test_a_number_of_workers_out_of_range_is_refused(workers):
    with pytest.raises(UserError, match=r"`executor\.workers` must be an integer from 1 to 1,024, but got"):
        LocalExecutor(workers)


def test_training_seeds_follow_from_study_key_and_replicate_alone():
    assert training_seed(0, "c1-a", 0) == training_seed(0, "c1-a", 0)
    others = {
        training_seed(0, "c1-a", 1),
        training_seed(1, "c1-a", 0),
        training_seed(0, "c1-b", 0),
        training_seed(0, "c1-a", 0),
    }
    assert len(others) == 4
    assert all(0 <= seed < 2**31 for seed in others)
    # Seeds are part of a study's records: they must not change between versions.
    assert training_seed(0, "c1-0000000000000000", 0) == 1572657281


def test_a_plan_counts_runs_and_time():
    plan = plan_study(StudySettings("x", trials=24), make_space(8), JournalStorage(), 60.0, workers=2)
    assert (plan.anchors, plan.design, plan.search, plan.candidates, plan.replicates) == (2, 12, 10, 24, 6)
    assert plan.seconds == (12 + 3) * 60.0
    small = plan_study(StudySettings("x", trials=24, replicates=1), make_space(2), JournalStorage(), 1.0)
    assert (small.candidates, small.replicates) == (4, 0)


def test_importing_studies_loads_no_torch():
    code = "import sys, gsfnas.study; print([m for m in ('torch', 'optuna') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("change", [{"seed": 1}, {"sampler": "random"}, {"lag": 1}, {"initial_fraction": 0.25}])
def test_what_decides_the_proposals_may_not_change_where_the_configuration_does_not_show_it(lab, change):
    """It may stand there as a variable of the environment."""
    lab.run(trials=2, replicates=1)
    said = r"sampler.name: tpe -> random" if "sampler" in change else r"study.proposals: [0-9a-f]{12} -> [0-9a-f]{12}"
    with pytest.raises(UserError, match=rf"begun with another configuration \({said}\)"):
        lab.run(trials=2, replicates=1, **change)
    assert len(lab.run(trials=2, replicates=1).records) == 2
