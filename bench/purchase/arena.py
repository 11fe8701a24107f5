"""A database with the world in it, and pgbench let loose on it.

No figure is believed unless the wallets confirm it: after every run the credits spent must be
those of exactly as many purchases as pgbench says it made.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from api import deploy
from bench.database import Database
from bench.errors import BenchError
from bench.pgbench import Load, run_pgbench
from bench.purchase.plan import CREDITS, FREE_CHAPTERS, PRICE, Plan, Scenario, Variant
from bench.server import BenchServer, Used, run_script
from bench.timing import Timing

HERE = Path(__file__).parent
SHARED = HERE.parent
SCRIPTS = {Variant.SEED: "seed_buy.sql", Variant.ROWS: "rows.sql", Variant.OURS: "buy.sql"}
# Ours is called as PostgREST calls it; the others write the tables themselves.
ROLES = {Variant.SEED: "app_owner", Variant.ROWS: "app_owner", Variant.OURS: "authenticated"}
SPENT = {
    Variant.SEED: "select coalesce(sum(credits_spent_total), 0) from seed.profiles",
    Variant.ROWS: "select -coalesce(sum(balance), 0) from ledger.accounts where kind = 'wallet'",
    Variant.OURS: "select -coalesce(sum(balance), 0) from ledger.accounts where kind = 'wallet'",
}


@dataclass(frozen=True)
class Stories:
    """The stories of a scenario, by number, and the chapters of them that may be bought."""

    first_story: int
    stories: int
    first_chapter: int
    chapters: int


@dataclass(frozen=True)
class Outcome:
    """What a run of pgbench achieved, and what it used."""

    timing: Timing
    used: Used


class Arena(Database):
    """One database, and how far the walk through all possible purchases has come."""

    def __init__(
        self, server: BenchServer, name: str, plan: Plan, sold: Mapping[Scenario, int] | None = None
    ) -> None:
        """`sold`: so many chapters, from the first on sale, were bought by somebody already."""
        super().__init__(server, name)
        self.plan = plan
        gone = {scenario: FREE_CHAPTERS + (sold or {}).get(scenario, 0) for scenario in Scenario}
        one, many = gone[Scenario.ONE], gone[Scenario.MANY]
        self._stories = {
            Scenario.ONE: Stories(0, 1, 1 + one, plan.star_chapters - one),
            Scenario.MANY: Stories(1, plan.creators, 1 + many, plan.other_chapters - many),
        }
        self._place = dict.fromkeys(Scenario, 0)

    def run(self, variant: Variant, scenario: Scenario, load: Load) -> Outcome:
        """Let pgbench buy."""
        stories = self._stories[scenario]
        variables = {
            "start": self._place[scenario],
            "turn": 0,
            "clients": load.clients,
            "readers": self.plan.readers,
            **vars(stories),
        }
        present = self.server.sessions()
        spent_before = int(self.value(SPENT[variant]))
        self.server.wait_for_departure(present)
        used_before = self.server.used(self.name)
        script = (HERE / "pick.sql").read_text() + (HERE / SCRIPTS[variant]).read_text()
        timing = run_pgbench(self, script, ROLES[variant], variables, load)
        self.server.wait_for_departure(present)
        used = self.server.used(self.name).since(used_before)
        if variant is not Variant.SEED:  # which has tables of its own, and forbids nothing
            self._place[scenario] += timing.most_turns * load.clients
        spent = int(self.value(SPENT[variant])) - spent_before
        if spent != timing.transactions * PRICE:
            raise BenchError(
                f"pgbench made {timing.transactions} purchases by {variant} and {spent} credits "
                f"were spent on them instead of {timing.transactions * PRICE}: if all chapters "
                "are bought by now, measure fewer seconds or rounds"
            )
        return Outcome(timing, used)


def build_world(server: BenchServer, database: str, plan: Plan) -> None:
    """Deploy the product into a new database, and put the world and the seed's world into it."""
    build_product_world(server, database, plan)
    creators = {"creators": plan.creators}
    readers = {"readers": plan.readers, "credits": CREDITS}
    run_script(server.postgres, database, HERE / "seed.sql", **creators, **readers)
    run_script(server.postgres, database, HERE / "evenings.sql", **creators)
    run_script(server.postgres, database, SHARED / "history.sql")
    with psycopg.connect(server.postgres.url(database), autocommit=True) as connection:
        connection.execute("vacuum (analyze)")


def build_product_world(server: BenchServer, database: str, plan: Plan) -> None:
    """Deploy the product into a new database, with readers, creators and stories."""
    server.create_database(database)
    deploy.migrate(server.postgres.url(database))
    run_script(
        server.postgres,
        database,
        SHARED / "world.sql",
        readers=plan.readers,
        creators=plan.creators,
        star_chapters=plan.star_chapters,
        other_chapters=plan.other_chapters,
        credits=CREDITS,
    )
