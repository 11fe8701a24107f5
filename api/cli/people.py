"""Commands about people."""

import click

from api.cli.target import connect
from api.config import Settings
from api.tokens import issue_token


@click.command()
@click.argument("handle")
@click.option(
    "--hours",
    type=click.FloatRange(min=0, min_open=True),
    default=12.0,
    show_default=True,
    help="How long the token is valid.",
)
def token(handle: str, hours: float) -> None:
    """Print a JWT for the person called HANDLE.

    Nothing else is printed. Operators (the demo's `admin`) get the service role, everybody else
    the role of a user.

    \b
    Examples:
      infinite-pages token reader
      curl -H "Authorization: Bearer $(infinite-pages token reader)" localhost:3000/rpc/me
    """
    settings = Settings.from_environment()
    with connect(settings) as connection:
        click.echo(issue_token(connection, settings.jwt_secret, handle, hours=hours))
