"""`python -m tests.torture`: a long run, with its report on the terminal."""

import sys
import time
from pathlib import Path

import click

from api.stack.supervisor import stop_signals_interrupt
from tests.torture.plan import Plan, new_seed
from tests.torture.run import torture


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--minutes", type=click.FloatRange(0.1), default=20.0, show_default=True)
@click.option("--clients", type=click.IntRange(8, 200), default=32, show_default=True)
@click.option("--seed", help="Repeats what everybody wants to do; a new one if not given.")
@click.option(
    "--think",
    type=click.FloatRange(0),
    default=0.3,
    show_default=True,
    help="Seconds between two things that a client does, on average; 0 is as fast as it goes.",
)
@click.option("--log", type=click.Path(path_type=Path), help="A file for what the parts say.")
def main(minutes: float, clients: int, seed: str | None, think: float, log: Path | None) -> None:
    """Do everything at once while parts of the stack are killed, then check every cent.

    A stack of its own is started in a temporary folder: PostgreSQL, PostgREST, the edge, the
    worker, and the sandboxes of Stripe and the WebUI. Clients call it over HTTP: readers, creators,
    operators and a bank. Meanwhile PostgreSQL, PostgREST, the edge and the worker are killed with
    `kill -9` and started again, Stripe loses answers and webhooks, and pictures fail.

    At the end everything is left to arrive. Then what was acknowledged must be there exactly once,
    what was lost must be there once or not at all, everybody's balance must be what they were told,
    Stripe must have the same, and verify, reconcile and solvency must find nothing. A broken call
    or a 5xx is right only while something was down.

    \b
    Examples:
      python -m tests.torture
      python -m tests.torture --minutes 2 --log /tmp/torture.log
      python -m tests.torture --seed 4711 --clients 64 --think 0

    Exit code 1 if anything was violated.
    """
    plan = Plan(minutes * 60, clients, seed or new_seed(), think)
    with (log or Path("/dev/null")).open("w") as said:

        def keep(part: str, line: str) -> None:
            said.write(f"{time.strftime('%H:%M:%S')} {part}: {line}\n")
            said.flush()

        with stop_signals_interrupt():  # nothing is left running, however it ends
            result = torture(plan, click.echo, keep)
    sys.exit(1 if result.violations else 0)


if __name__ == "__main__":
    main()
