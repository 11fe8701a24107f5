"""Commands that run something: the stack, its worker, and the demonstration."""

import dataclasses
import tempfile
from pathlib import Path

import click

from api.cli.target import owner_url
from api.config import CoverSettings, Settings


@click.command()
@click.option(
    "--demo/--no-demo",
    "with_demo",
    default=None,
    help="Load the demo people and their book. Default: yes, except with DATABASE_URL.",
)
def up(with_demo: bool | None) -> None:
    """Run everything on this machine until Ctrl-C.

    Starts PostgreSQL, migrates it, loads the demo, then starts PostgREST, the edge and the worker,
    each when the one before it is ready. The data stays: the next `up` goes on with it. Ctrl-C and
    SIGTERM stop everything in reverse order and exit with 0; if a part ends by itself, the rest is
    stopped and the exit code is 1.

    Without STRIPE_SECRET_KEY a sandbox stands in for Stripe: it has a payment page of its own, and
    no money moves. With one, STRIPE_WEBHOOK_SECRET is needed too.

    Without STABLE_DIFFUSION_WEBUI_URL a second sandbox draws the covers, on WEBUI_SANDBOX_PORT
    (7860, or any free port while that is taken); beside a live key of Stripe covers are off
    instead. Images are kept in the state folder, unless COVER_STORE_URL names another store.

    \b
    Examples:
      infinite-pages up
      POSTGREST_PORT=3100 EDGE_PORT=8100 STRIPE_SANDBOX_PORT=8101 WEBUI_SANDBOX_PORT=7960 \\
        STATE_DIR=/tmp/second infinite-pages up
      STABLE_DIFFUSION_WEBUI_URL=http://127.0.0.1:7860 infinite-pages up
      DATABASE_URL=postgresql://owner@/pages infinite-pages up --demo
    """
    from api.stack.banner import banner
    from api.stack.errors import StackError
    from api.stack.log import TerminalLog
    from api.stack.supervisor import running_stack, stop_signals_interrupt

    settings = Settings.from_environment()
    if with_demo is None:
        with_demo = settings.database_url is None
    log = TerminalLog()
    try:
        with (
            stop_signals_interrupt(),
            running_stack(settings, with_demo=with_demo, log=log) as stack,
        ):
            log.write(banner(stack))
            raise StackError(stack.wait_for_end())
    except KeyboardInterrupt:
        log("stack", "stopped")


@click.command()
@click.option("--once", is_flag=True, help="Do every task once, then end.")
def worker(once: bool) -> None:
    """Look after the ledger on a schedule.

    Folds, seals, expires credits, makes partitions ahead, and closes the month when it is due.
    With STRIPE_SECRET_KEY it also sends what Stripe was not asked yet, payouts included, finds
    events that never came, and reads Stripe's statement and creators' accounts. With SMTP_URL it
    sends notices by mail. With STABLE_DIFFUSION_WEBUI_URL and COVER_STORE_URL it makes covers.
    `up` runs one; several beside each other do no harm.

    \b
    Examples:
      infinite-pages worker
      infinite-pages worker --once
      STABLE_DIFFUSION_WEBUI_URL=http://gpu:7860 COVER_STORE_URL=/var/lib/covers \\
        infinite-pages worker
    """
    from api import worker as ledger_worker
    from api.logs import set_up_logging

    settings = Settings.from_environment()
    url = owner_url(settings)
    stripe = settings.stripe_given
    covers = CoverSettings.from_environment()
    set_up_logging()
    if stripe is None:
        click.echo("STRIPE_SECRET_KEY is not set: Stripe is left alone")
    if covers is None:
        click.echo("STABLE_DIFFUSION_WEBUI_URL is not set: no covers are made")
    ledger_worker.run(
        url, once=once, report=click.echo, stripe=stripe, smtp=settings.smtp, covers=covers
    )


@click.command()
def demo() -> None:
    """Play the story of a sale, with its figures.

    Runs against a throwaway stack: needs no running stack and leaves nothing behind. Exit code
    1 if any figure is off.

    \b
    Example:
      infinite-pages demo
    """
    from api import demo as demonstration
    from api.stack.ports import free_port
    from api.stack.supervisor import running_stack, stop_signals_interrupt

    with tempfile.TemporaryDirectory(prefix="infinite-pages-demo-") as folder:
        settings = dataclasses.replace(
            Settings.from_environment(),
            database_url=None,
            postgrest_port=free_port(),
            edge_port=free_port(),
            sandbox_port=free_port(),
            state_folder=Path(folder),
            stripe_given=None,  # whatever key is set: this is a play
            edge_url_given=None,
            return_origins=(),
            smtp=None,
            webui_servers=(),
            webui_port_given=free_port(),
            cover_store_given=None,
        )
        click.echo("starting a throwaway stack")
        with (
            stop_signals_interrupt(),
            running_stack(settings, with_demo=True) as stack,
        ):
            all_right = demonstration.show(stack)
    if not all_right:
        raise SystemExit(1)
