"""A database with the world in it, and pgbench let loose on it.

No figure is believed unless the wallets confirm it: after every run the credits spent must be
those of exactly as many purchases as pgbench says it made.
"""

import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from api import deploy
from bench.database import Database
from bench.errors import BenchError
from bench.purchase.plan import CREDITS, FREE_CHAPTERS, PRICE, Plan, Scenario, Variant
from bench.purchase.timing import Timing, read_log
from bench.server import BenchServer, Used, run_script

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
THREADS = 2


@dataclass(frozen=True)
class Stories:
    """The stories of a scenario, by number, and the chapters of them that may be bought."""

    first_story: int
    stories: int
    first_chapter: int
    chapters: int


@dataclass(frozen=True)
class Load:
    """How many buy, and for how long: so many seconds, or so many purchases each."""

    clients: int
    seconds: int = 0
    purchases: int = 0
    warm_up: int = 0  # seconds before those that count
    waits_for_disk: bool = True

    @property
    def amount(self) -> str:
        """The same for pgbench."""
        if self.purchases:
            return f"--transactions={self.purchases}"
        return f"--time={self.seconds + self.warm_up}"


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
        with tempfile.TemporaryDirectory(prefix="infinite-pages-pgbench-") as folder:
            script = Path(folder) / "purchase.sql"
            script.write_text((HERE / "pick.sql").read_text() + _script(variant))
            command = [
                str(self.server.postgres.bin_folder / "pgbench"),
                "--no-vacuum",
                "--protocol=prepared",
                f"--client={load.clients}",
                f"--jobs={min(THREADS, load.clients)}",
                load.amount,
                "--log",
                f"--log-prefix={folder}/log",
                f"--file={script}",
                *(f"--define={name}={value}" for name, value in variables.items()),
                self.url,
            ]
            _pgbench(command, ROLES[variant], load)
            timing = read_log(Path(folder), warm_up=load.warm_up, seconds=load.seconds)
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


def _script(variant: Variant) -> str:
    return (HERE / SCRIPTS[variant]).read_text()


def _pgbench(command: list[str], role: str, load: Load) -> None:
    options = f"-c role={role} -c synchronous_commit={'on' if load.waits_for_disk else 'off'}"
    environment = os.environ | {"PGOPTIONS": options}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        raise BenchError(f"pgbench failed: {' '.join(done.stderr.split())}")
