"""Commands about covers: what is made, who makes it, and the images that nobody needs."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import click

from api.cli.show import counting_to_the_end, print_table
from api.cli.target import connect, connect_in_steps
from api.config import Settings, SettingsError, WebuiServer

if TYPE_CHECKING:
    from api.covers.store import CoverStore

STATES = ["pending", "generating", "completed", "failed", "canceled"]
LONGEST_TITLE = 40
# An image is in the store before its cover is in the database: a young one is not left over yet.
GRACE = timedelta(days=1)
FILES_AT_ONCE = 20


@click.group()
def covers() -> None:
    """Look after the covers that are made for stories.

    The worker makes them, by the servers of STABLE_DIFFUSION_WEBUI_URL. These are for looking, and
    for clearing up.

    \b
    Examples:
      infinite-pages covers list --state failed
      infinite-pages covers show 0197f3a2-5c1e-7b3a-9f60-3d1f0f6a2b11
      infinite-pages covers servers
      infinite-pages covers tidy --delete
    """


@covers.command("list")
@click.option("--state", type=click.Choice(STATES), help="Only covers in this state.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
def list_covers(state: str | None, limit: int) -> None:
    """List covers that were asked for, newest first.

    \b
    pending      it waits for its turn, or for its next attempt
    generating   a server draws it
    completed    the story has it, and it is paid
    failed       it could not be made; what it cost went back
    canceled     its author did not want it any more; what it cost went back

    Covers that authors uploaded are not among them.

    \b
    Examples:
      infinite-pages covers list
      infinite-pages covers list --state failed --limit 100
    """
    with connect(Settings.from_environment()) as connection:
        rows = connection.execute(
            """
            select
                job.id, profile.handle, left(story.title, %(longest)s), job.style,
                job.state || case when job.state = 'generating'
                    then ' ' || job.progress || ' %%' else '' end,
                job.attempts, nullif(concat_ws(': ', job.error_code, job.error_message), ''),
                now() - job.created_at
            from app.cover_jobs as job
            inner join app.profiles as profile on profile.id = job.user_id
            inner join app.stories as story on story.id = job.story_id
            where %(state)s::text is null or job.state = %(state)s
            order by job.id desc
            limit %(limit)s
            """,
            {"state": state, "limit": limit, "longest": LONGEST_TITLE},
        ).fetchall()
    if not rows:
        nobody = "nobody has asked for a cover yet"
        click.echo(nobody if state is None else f"no cover is {state}")
        return
    print_table(["job", "by", "story", "style", "state", "tries", "error", "age"], rows)


@covers.command()
@click.argument("job_id", type=click.UUID, metavar="JOB")
def show(job_id: UUID) -> None:
    """Show one cover, and each attempt to make it.

    With the model, prompt and seed the same server draws the same picture again.

    \b
    Examples:
      infinite-pages covers list
      infinite-pages covers show 0197f3a2-5c1e-7b3a-9f60-3d1f0f6a2b11
    """
    with connect(Settings.from_environment()) as connection:
        row = connection.execute(
            """
            select
                job.state, job.style, story.title, profile.handle, job.cost_credits, job.priority,
                job.model, job.prompt, job.negative_prompt, job.options::text,
                case when job.state = 'pending'
                    then to_char(job.run_at at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS UTC') end,
                nullif(concat_ws(': ', job.error_code, job.error_message), ''),
                cover.seed, cover.file
            from app.cover_jobs as job
            inner join app.profiles as profile on profile.id = job.user_id
            inner join app.stories as story on story.id = job.story_id
            left join app.story_covers as cover on cover.job_id = job.id
            where job.id = %s
            """,
            (job_id,),
        ).fetchone()
        if row is None:
            raise click.ClickException(f"no cover was asked for as {job_id}: see `covers list`")
        attempts = connection.execute(
            """
            select
                number, server, task_id, seed, coalesce(outcome, 'running'),
                coalesce(ended_at, now()) - started_at,
                nullif(concat_ws(': ', error_code, error_message), '')
            from app.cover_attempts
            where job_id = %s
            order by number
            """,
            (job_id,),
        ).fetchall()
    names = ["state", "style", "story", "by", "credits", "priority", "model", "prompt", "without"]
    names += ["options", "not before", "error", "seed", "image"]
    for name, value in zip(names, row, strict=True):
        if value not in (None, ""):
            click.echo(f"{name:<12}{value}")
    if not attempts:
        click.echo("nobody has tried to make it yet")
        return
    print_table(["try", "server", "task", "seed", "outcome", "took", "error"], attempts)


@dataclass(frozen=True)
class Reach:
    """What a server said: its models, or why there are none."""

    server: WebuiServer
    models: frozenset[str]
    trouble: str | None = None


@covers.command()
def servers() -> None:
    """Ask every server what it can draw.

    Exit code 1 if there is a style that none of them can make.

    \b
    Examples:
      infinite-pages covers servers
      infinite-pages covers servers || notify-the-operator
    """
    settings = Settings.from_environment()
    configured = _servers(settings)
    with connect(settings) as connection:
        styles = connection.execute(
            "select style, model from app.cover_styles where is_active order by sort_order, style"
        ).fetchall()
    with ThreadPoolExecutor(len(configured)) as threads:
        reached = list(threads.map(_ask, configured))
    rows = []
    for each in reached:
        makes = [style for style, model in styles if model in each.models]
        said = each.trouble or f"{len(each.models)} models"
        rows.append((each.server.name, each.server.capacity, said, ", ".join(makes) or "nothing"))
    print_table(["server", "at once", "says", "can make"], rows)
    there_is = frozenset[str]().union(*(each.models for each in reached))
    missing = [(style, model) for style, model in styles if model not in there_is]
    for style, model in missing:
        click.echo(f"nobody can make {style}: no server has {model}")
    if missing:
        raise SystemExit(1)


@covers.command()
@click.option("--delete", is_flag=True, help="Delete them. Without it they are only counted.")
def tidy(delete: bool) -> None:
    """Find images that no story shows any more.

    They are left over from covers that were removed, or that were canceled or lost when they were
    just done. An image that was stored within the last day is left alone.

    \b
    Examples:
      infinite-pages covers tidy
      infinite-pages covers tidy --delete
    """
    settings = Settings.from_environment()
    with connect_in_steps(settings) as connection, _failures_of_the_store():
        store = _open_store(settings)
        before = datetime.now(UTC) - GRACE
        found = list(store.names())
        old = [name for name, stored_at in found if stored_at < before]
        left_over = 0
        with counting_to_the_end("images") as watch:
            for start in range(0, len(old), FILES_AT_ONCE):
                # Asked just before it is done: somebody may want an old image again meanwhile.
                names = old[start : start + FILES_AT_ONCE]
                unused = connection.execute(
                    "select app.unused_cover_files(%s)", (names,)
                ).fetchall()
                left_over += len(unused)
                if delete:
                    for (name,) in unused:
                        store.delete(name)
                watch(start + len(names), len(old))
    click.echo(f"images in the store: {len(found)}, {len(old)} of them older than a day")
    if delete:
        click.echo(f"deleted: {left_over}")
    elif left_over:
        click.echo(f"left over: {left_over}; `infinite-pages covers tidy --delete` deletes them")
    else:
        click.echo("left over: 0")


def _servers(settings: Settings) -> tuple[WebuiServer, ...]:
    """Those that are set, else the sandbox beside the embedded database."""
    if not settings.webui_servers and settings.database_url is not None:
        raise SettingsError("STABLE_DIFFUSION_WEBUI_URL is not set: which server draws?")
    found = settings.covers(settings.webui_port)
    if found is None:
        raise SettingsError("STABLE_DIFFUSION_WEBUI_URL is not set, so covers are off")
    return found.servers


def _ask(server: WebuiServer) -> Reach:
    from api.covers.webui import AwayError, Webui

    with closing(Webui(server)) as webui:
        try:
            return Reach(server, webui.models())
        except AwayError as error:
            return Reach(server, frozenset(), str(error))


def _open_store(settings: Settings) -> "CoverStore":
    from api.covers.store import CoverStore

    if settings.cover_store_given is None and settings.database_url is not None:
        raise SettingsError("DATABASE_URL is set, and COVER_STORE_URL is not: which store?")
    return CoverStore.open(settings.cover_store_url)


@contextmanager
def _failures_of_the_store() -> Iterator[None]:
    from api.covers.store import StoreError

    try:
        yield
    except StoreError as error:
        raise click.ClickException(f"the store of covers cannot be used: {error}") from None
