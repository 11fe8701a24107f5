"""What can happen to covers: as in `actions`, each answers what it would do, or None."""

from collections.abc import Callable, Sequence
from functools import partial

from tests.property.actions import Happening
from tests.property.cover_driver import CoverDriver
from tests.property.dice import Roll

Action = Callable[[CoverDriver, Roll], Happening | None]

# A cover of several payments shows what one of them has left of it.
PRICES = (5, 31, 60, 120)
MOST_OPEN = 4


def ask_for_cover(driver: CoverDriver, roll: Roll) -> Happening | None:
    authors = [reader for reader in driver.readers if driver.book.wallets[reader]]
    if not authors or len(driver.open_covers()) >= MOST_OPEN:
        return None
    return partial(driver.ask_for_cover, roll.one_of(authors), roll.amount_of(PRICES))


def cancel_cover(driver: CoverDriver, roll: Roll) -> Happening | None:
    covers = driver.book.covers
    return partial(driver.cancel_cover, roll.one_of(covers)) if covers else None


def claim_cover(driver: CoverDriver, roll: Roll) -> Happening | None:
    return driver.claim_cover if driver.open_covers("pending") else None


def finish_cover(driver: CoverDriver, roll: Roll) -> Happening | None:
    """By whoever has it, or by somebody who comes late."""
    works = driver.works
    return partial(driver.finish_cover, roll.one_of(works)) if works else None


def fail_cover(driver: CoverDriver, roll: Roll) -> Happening | None:
    works = driver.works
    if not works:
        return None
    return partial(driver.fail_cover, roll.one_of(works), is_permanent=roll.how % 3 == 0)


def release_cover(driver: CoverDriver, roll: Roll) -> Happening | None:
    works = driver.works
    return partial(driver.release_cover, roll.one_of(works)) if works else None


def lose_worker(driver: CoverDriver, roll: Roll) -> Happening | None:
    drawn = driver.open_covers("generating")
    return partial(driver.lose_worker, roll.one_of(drawn)) if drawn else None


def wait_too_long(driver: CoverDriver, roll: Roll) -> Happening | None:
    waiting = driver.open_covers("pending")
    return partial(driver.wait_too_long, roll.one_of(waiting)) if waiting else None


def finish_while_it_is_canceled(driver: CoverDriver, roll: Roll) -> Happening | None:
    held = [work for work in driver.works if work.is_held]
    return partial(driver.finish_while_it_is_canceled, roll.one_of(held)) if held else None


# How often each is chosen among those that are possible.
COVER_ACTIONS: Sequence[tuple[int, Action]] = (
    (4, ask_for_cover),
    (1, cancel_cover),
    (6, claim_cover),
    (4, finish_cover),
    (4, fail_cover),
    (1, release_cover),
    (3, lose_worker),
    (1, wait_too_long),
    (1, finish_while_it_is_canceled),
)
