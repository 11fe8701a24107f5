"""Where credits are, in a few pages of Python that know nothing of the SQL.

A payment puts lots into a wallet. Spending takes the oldest lots first. Money that goes back, a
refund or a dispute, takes credits with it: unspent ones of that payment first, the newest lot
first, then what they were spent on, the newest first. What is undecided is frozen; what is undone
comes back as new lots. What a cover costs is set aside until it is there, and comes back as new
lots where it comes to nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from uuid import UUID

CREDIT_VALUE = 50_000  # micro-dollars
CREATORS_BASIS_POINTS = 7000


@dataclass(eq=False)
class Payment:
    """Money for credits, as far as the ledger knows."""

    id: UUID
    payer: UUID
    cents: int
    purchased: int
    bonus: int
    status: str = "pending"
    intent_id: str | None = None
    takebacks: list["Takeback"] = field(default_factory=list)

    @property
    def credits(self) -> int:
        return self.purchased + self.bonus


@dataclass(eq=False)
class Lot:
    """Credits that came together, bought by a payment."""

    number: int
    payment: Payment
    left: int


@dataclass(eq=False)
class Draw:
    """What was spent of one lot, and how much of that was taken back."""

    lot: Lot
    credits: int
    taken: int = 0


@dataclass(frozen=True)
class Story:
    """A story on sale; its authors share in basis points."""

    id: UUID
    price: int
    shares: tuple[tuple[UUID, int], ...]

    def earnings(self, credits: int) -> dict[UUID, int]:
        """What each author earns by a sale: rounded down, and the rest for the first."""
        pool = credits * CREDIT_VALUE * CREATORS_BASIS_POINTS // 10_000
        parts = {author: pool * share // 10_000 for author, share in self.shares}
        first = self.shares[0][0]
        return {**parts, first: pool - sum(parts.values()) + parts[first]}


@dataclass(eq=False)
class Spending:
    """Credits of a person that were spent at one time."""

    id: UUID
    person: UUID
    draws: list[Draw]
    gone: int = field(default=0, kw_only=True)  # credits that came back or were taken for good
    releases: int = field(default=0, kw_only=True)

    @property
    def credits(self) -> int:
        return sum(draw.credits for draw in self.draws)

    @property
    def taken(self) -> int:
        return sum(draw.taken for draw in self.draws)

    @property
    def is_closed(self) -> bool:
        return self.gone == self.credits


@dataclass(eq=False)
class Sale(Spending):
    """Chapters of a story for credits."""

    story: Story
    chapters: tuple[int, ...]


@dataclass(eq=False)
class Cover(Spending):
    """A picture that is to be drawn; its credits are set aside until it is there."""

    state: str = "pending"  # then generating, and then completed, failed or canceled
    attempts: int = 0
    lease: UUID | None = None
    came_back_late: int = 0  # credits that were frozen when it came to nothing

    @property
    def is_open(self) -> bool:
        return self.state in ("pending", "generating")

    @property
    def set_aside(self) -> int:
        """Credits that are not the platform's; what was frozen stays with those of its cover."""
        return 0 if self.state == "completed" else self.credits - self.gone


@dataclass(eq=False)
class Recall:
    """Credits that were taken from a wallet and from what was spent, at one time."""

    credits: int
    from_wallet: list[tuple[Lot, int]] = field(default_factory=list)
    from_spendings: list[tuple[Spending, Draw, int]] = field(default_factory=list)
    state: str = "frozen"  # then final or released; what was final may be returned

    @property
    def spendings(self) -> list[Spending]:
        """What it reached, each once."""
        return list({id(spending): spending for spending, _, _ in self.from_spendings}.values())


@dataclass(eq=False)
class Takeback:
    """A refund or a dispute of a payment."""

    kind: str
    cents: int
    status: str
    own_id: str | None = None
    stripe_id: str | None = None
    has_moved_money: bool = False
    recalls: list[Recall] = field(default_factory=list)

    @property
    def is_active(self) -> bool:
        return self.status in ("pending", "succeeded", "open", "lost")

    @property
    def is_final(self) -> bool:
        return self.status in ("succeeded", "lost")

    @property
    def credits(self) -> int:
        return sum(recall.credits for recall in self.recalls)

    @property
    def frozen_from_wallet(self) -> int:
        frozen = [recall for recall in self.recalls if recall.state == "frozen"]
        return sum(credits for recall in frozen for _, credits in recall.from_wallet)


class Credits:
    """The wallets of some people, and what was spent from them."""

    def __init__(self) -> None:
        self.wallets: dict[UUID, list[Lot]] = {}
        self.spendings: list[Spending] = []
        self._numbers = count(1)

    @property
    def sales(self) -> list[Sale]:
        return [each for each in self.spendings if isinstance(each, Sale)]

    @property
    def covers(self) -> list[Cover]:
        return [each for each in self.spendings if isinstance(each, Cover)]

    def balance(self, person: UUID) -> int:
        return sum(lot.left for lot in self.wallets.get(person, []))

    def set_aside(self, person: UUID) -> int:
        return sum(cover.set_aside for cover in self.covers if cover.person == person)

    def owned(self, reader: UUID, story: Story) -> set[int]:
        """The chapters that somebody has paid for and may read."""
        bought = [s for s in self.sales if (s.person, s.story.id) == (reader, story.id)]
        return {chapter for s in bought if not s.is_closed for chapter in s.chapters}

    # Spending

    def buy(self, sale_id: UUID, reader: UUID, story: Story, chapters: tuple[int, ...]) -> Sale:
        draws = self._draw(reader, story.price * len(chapters))
        sale = Sale(sale_id, reader, draws, story, chapters)
        self.spendings.append(sale)
        return sale

    def ask_for_cover(self, job_id: UUID, author: UUID, credits: int) -> Cover:
        cover = Cover(job_id, author, self._draw(author, credits))
        self.spendings.append(cover)
        return cover

    def return_sale(self, sale: Sale, credits: int) -> None:
        """An operator gives credits of a sale back."""
        assert 1 <= credits <= sale.credits - sale.taken
        self._give_up(sale, credits)

    def end_cover(self, cover: Cover, state: str) -> int:
        """Drawn, failed or canceled; the credits that come back.

        Those that are frozen wait until that is decided.
        """
        assert cover.is_open
        cover.state, cover.lease = state, None
        left = 0 if state == "completed" else cover.credits - cover.taken
        self._give_up(cover, left)
        return left

    def _draw(self, person: UUID, missing: int) -> list[Draw]:
        """Spend, from the oldest lot to the newest."""
        draws = []
        for lot in self.wallets[person]:
            part = min(lot.left, missing)
            if part:
                lot.left -= part
                missing -= part
                draws.append(Draw(lot, part))
        assert missing == 0
        return draws

    def _give_up(self, spending: Spending, credits: int) -> None:
        """Credits go back to the wallet: those drawn last come first."""
        back: list[tuple[Lot, int]] = []
        for draw in reversed(spending.draws):
            part = min(draw.credits - draw.taken, credits)
            if part:
                draw.taken += part
                credits -= part
                spending.gone += part
                back.append((draw.lot, part))
        self._add_lots(spending.person, back)

    def _add_lot(self, person: UUID, payment: Payment, credits: int) -> None:
        if credits:
            self.wallets.setdefault(person, []).append(Lot(next(self._numbers), payment, credits))

    def _add_lots(self, person: UUID, parts: list[tuple[Lot, int]]) -> None:
        """Credits that come back, in the order of the lots that they came from."""
        for lot, credits in sorted(parts, key=lambda part: part[0].number):
            self._add_lot(person, lot.payment, credits)

    # Taking back

    def _recall(self, payment: Payment, missing: int) -> Recall:
        recall = Recall(missing)
        for lot in reversed(self.wallets[payment.payer]):
            part = min(lot.left, missing) if lot.payment is payment else 0
            if part:
                lot.left -= part
                missing -= part
                recall.from_wallet.append((lot, part))
        for spending, draw in self._spent(payment):
            part = min(draw.credits - draw.taken, missing)
            if part:
                draw.taken += part
                missing -= part
                recall.from_spendings.append((spending, draw, part))
        assert missing == 0, "credits of a payment are in its wallet or in what it was spent on"
        return recall

    def _spent(self, payment: Payment) -> Iterator[tuple[Spending, Draw]]:
        """Where the credits of a payment went, the newest first."""
        for spending in reversed(self.spendings):
            for draw in reversed(spending.draws):
                if draw.lot.payment is payment:
                    yield spending, draw

    def _settle(self, takeback: Takeback) -> None:
        """Gone for good; nobody draws a cover of whose price nothing is left."""
        for recall in takeback.recalls:
            if recall.state == "frozen":
                recall.state = "final"
                for spending, _, credits in recall.from_spendings:
                    spending.gone += credits
                for spending in recall.spendings:
                    if isinstance(spending, Cover) and spending.is_open and spending.is_closed:
                        self.end_cover(spending, "canceled")

    def _undo(self, payment: Payment, recall: Recall) -> None:
        """As it was if nothing was decided, else as credits in the wallet."""
        back = list(recall.from_wallet)
        if recall.state == "frozen":
            recall.state = "released"
            for _, draw, credits in recall.from_spendings:
                draw.taken -= credits
            for spending in recall.spendings:
                spending.releases += 1
        elif recall.state == "final":
            recall.state = "returned"
            back += [(draw.lot, credits) for _, draw, credits in recall.from_spendings]
        self._add_lots(payment.payer, back)
        for spending in recall.spendings:
            # What was frozen of a cover that came to nothing comes back now.
            if isinstance(spending, Cover) and spending.state in ("failed", "canceled"):
                late = spending.credits - spending.taken
                spending.came_back_late += late
                self._give_up(spending, late)
