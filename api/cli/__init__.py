"""The console script `infinite-pages`."""

import click

from api.cli.covers import covers
from api.cli.database import install_sql, migrate, psql, url
from api.cli.group import ExpectedErrorsGroup
from api.cli.ledger import grant, verify
from api.cli.operations import status
from api.cli.payouts import payouts
from api.cli.people import token
from api.cli.stack import demo, up, worker
from api.cli.stripe import reconcile, stripe


@click.group(
    cls=ExpectedErrorsGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
def main() -> None:
    """Run Infinite Pages and look after its money.

    \b
    Start here:
      infinite-pages up                  everything on this machine, Ctrl-C stops it
      infinite-pages token reader        a JWT to call the API as the demo reader
      infinite-pages grant reader 20     give somebody credits
      infinite-pages status              see how everything is
      infinite-pages verify              prove that the ledger balances
      infinite-pages reconcile           prove that it agrees with Stripe
      infinite-pages payouts list        see what creators are paid
      infinite-pages covers list         see which covers are made, and which are not

    \b
    Which database:
      DATABASE_URL    the owner's URL of your own server, where it is set;
      STATE_DIR       otherwise the embedded server whose data is there (.local).

    \b
    Also read from the environment:
      POSTGREST_PORT (3000), EDGE_PORT (8000)      where `up` listens, on 127.0.0.1 only
      JWT_SECRET                                   made at first start where it is not set
      AUTHENTICATOR_PASSWORD, EDGE_PASSWORD        for a DATABASE_URL with a password
      STRIPE_SECRET_KEY, STRIPE_WEBHOOK_SECRET     your account; without a key `up` brings a
      STRIPE_SANDBOX_PORT (8001)                   sandbox, which listens here
      SMTP_URL, NOTICES_FROM                       the mail server of notices, and their sender
      STABLE_DIFFUSION_WEBUI_URL, COVER_STORE_URL  who draws covers, and where they are kept;
      WEBUI_SANDBOX_PORT (7860)                    without them `up` brings a sandbox
    """


COMMANDS = (up, migrate, token, url, psql, grant, status, verify, payouts, covers, stripe)

for command in (*COMMANDS, reconcile, worker, demo, install_sql):
    main.add_command(command)
