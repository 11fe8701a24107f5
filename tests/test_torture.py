"""The short version of `make torture`: everything at once while its parts are killed.

TORTURE_SECONDS says how long the load lasts, SEED repeats what everybody wants to do.
"""

import os

import pytest

from tests.torture.journal import PURCHASE, Outcome
from tests.torture.plan import Plan, new_seed
from tests.torture.run import torture

SECONDS = 60.0
# A run in which nobody got anything done, or nothing was killed, would prove nothing.
LEAST_BOUGHT = 20
LEAST_KILLS = 2


def test_what_is_acknowledged_is_there_once_whatever_is_killed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The servers are killed in the middle of everything, and nothing is lost or doubled."""
    seconds = float(os.environ.get("TORTURE_SECONDS", SECONDS))
    # The other tests of a run want to go on too: nobody here is in a hurry.
    plan = Plan(seconds, seed=os.environ.get("SEED") or new_seed(), think_seconds=0.5)
    with capsys.disabled():
        result = torture(plan, print)
    assert result.violations == [], f"SEED={plan.seed}"
    assert result.journal.tally[PURCHASE.name, Outcome.DONE] >= LEAST_BOUGHT
    kills = [kind for kind in result.journal.troubles.kinds.elements() if "kill" in kind]
    assert len(kills) >= LEAST_KILLS, kills
    assert any("postgres" in kind for kind in kills), kills
