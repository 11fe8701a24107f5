"""The covers in the ledger against those of the model."""

from tests.property.cover_driver import CoverDriver

COVERS = """
    select
        (select jsonb_object_agg(p.id, ledger.balance(p.id, 'reserved'))
            from unnest(%s::uuid[]) as p (id)) as set_aside,
        (select coalesce(jsonb_object_agg(j.id, jsonb_build_array(j.state, j.attempts)), '{}')
            from app.cover_jobs as j where j.user_id = any(%s)) as jobs,
        (select count(*) from app.story_covers as c where c.user_id = any(%s)) as pictures
"""


def check_covers(driver: CoverDriver) -> None:
    """Jobs, their pictures and what is set aside for them are what the model says."""
    covers, readers = driver.book.covers, driver.readers
    (now,) = driver.world.rows(COVERS, readers, readers, readers)
    assert now["jobs"] == {str(cover.id): [cover.state, cover.attempts] for cover in covers}
    assert now["set_aside"] == {str(each): driver.book.set_aside(each) for each in readers}
    assert now["pictures"] == sum(cover.state == "completed" for cover in covers)


def leave_covers(driver: CoverDriver) -> None:
    """Cancel what is open, so that the next interleaving's workers find only their own.

    What is set aside then is what is frozen: the next one's end proves it with everything else.
    """
    driver.cancel_all_covers()
    check_covers(driver)
    for reader in driver.readers:
        wallet = driver.world.value("select ledger.balance(%s, 'wallet')", reader)
        assert wallet == driver.book.balance(reader)
