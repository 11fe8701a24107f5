"""Deploying while people buy: nobody is turned away, and nothing is lost."""

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from api.deploy import migrate
from tests.conftest import NewDatabase
from tests.market import PRICE, WAIT_SECONDS, open_market, publish_story

CHAPTERS = range(3, 13)
DEPLOYS = 3


def test_sales_go_on_during_deploys(migrated_database: NewDatabase) -> None:
    url = migrated_database()
    with open_market(url, publish_story(url)) as market, ThreadPoolExecutor() as pool:
        readers = [market.reader(credits=len(CHAPTERS) * PRICE) for _ in range(4)]

        def buy_all(reader: UUID) -> int:
            return sum(market.buyer(reader, [chapter])().credits_spent for chapter in CHAPTERS)

        def deploy() -> int:
            return sum(len(migrate(url).migrations) for _ in range(DEPLOYS))

        sales = [pool.submit(buy_all, reader) for reader in readers]
        deploys = pool.submit(deploy)
        assert deploys.result(timeout=WAIT_SECONDS) == 0
        assert [sale.result(timeout=WAIT_SECONDS) for sale in sales] == [
            len(CHAPTERS) * PRICE for _ in readers
        ]
