"""Who is in the demonstration, and what every step of it must come to.

The figures are written out rather than computed, so that they check the database's arithmetic and
do not repeat it. Credits are whole, money is in micro-dollars.
"""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True)
class Person:
    """Somebody in the demonstration; the id is the `sub` of their token."""

    handle: str
    id: UUID
    display_name: str
    bio: str
    credits: int = 0
    is_operator: bool = False


READER = Person(
    handle="reader",
    id=UUID("d0000000-0000-4000-8000-000000000001"),
    display_name="Nora Quist",
    bio="Reads on trains, one chapter between two stations.",
    credits=110,  # as much as a Starter Pack
)
CREATOR = Person(
    handle="creator",
    id=UUID("d0000000-0000-4000-8000-000000000002"),
    display_name="Edda Vane",
    bio="Writes about people who keep accounts, and about what they leave out of them.",
    credits=50,  # for ten covers
)
COAUTHOR = Person(
    handle="coauthor",
    id=UUID("d0000000-0000-4000-8000-000000000003"),
    display_name="Tomas Abara",
    bio="Writes every second letter.",
)
STRANGER = Person(
    handle="stranger",
    id=UUID("d0000000-0000-4000-8000-000000000004"),
    display_name="Sam Lindqvist",
    bio="Has credits too, and no business in anybody else's wallet.",
    credits=30,
)
ADMIN = Person(
    handle="admin",
    id=UUID("d0000000-0000-4000-8000-000000000005"),
    display_name="The operator",
    bio="Answers the letters and gives refunds.",
    is_operator=True,
)
NEWCOMER = Person(
    handle="newcomer",
    id=UUID("d0000000-0000-4000-8000-000000000006"),
    display_name="Ines Marlow",
    bio="Has just signed up, with an empty wallet.",
)
LATECOMER = Person(
    handle="latecomer",
    id=UUID("d0000000-0000-4000-8000-000000000007"),
    display_name="Leo Farkas",
    bio="Thirty-one years backstage, eleven of them writing. Fills in forms tomorrow.",
)
PEOPLE = (READER, CREATOR, COAUTHOR, STRANGER, ADMIN, NEWCOMER, LATECOMER)

# The first chapter that costs something, in every book: two are free.
CHAPTER_FOR_SALE = 3
UNPAID = "402 chapter_not_owned"

PACKAGES = [110, 300, 750, 2000]
CHAPTER_PRICE = 5
LEFT_AFTER_CHAPTER = 105

# Four chapters of 5 credits, less 15 %.
BUNDLE_CHAPTERS = [4, 5, 6, 7]
BUNDLE_FULL_PRICE = 20
BUNDLE_PRICE = 17
LEFT_AFTER_BUNDLE = 88

# 70 % of $0.05 a credit.
EARNED_BY_CHAPTER = 175_000
EARNED_BY_BUNDLE = 595_000
EARNED_BY_FIRST_BOOK = 770_000

# The second book has two authors: their parts in basis points, and what a chapter brings each.
SPLIT = {CREATOR: 6000, COAUTHOR: 4000}
SHARES = {CREATOR: 105_000, COAUTHOR: 70_000}
LEFT_AFTER_SECOND_BOOK = 83

# The reader's statement: a grant and three purchases.
LINES_OF_READER = 4

# The chapter of the first book is taken back; bundle and second book stay.
LEFT_AFTER_REFUND = 88
EARNED_AFTER_REFUND = 700_000

# A Starter Pack; then $2.50 of its $4.99 go back, and 55 of its 110 credits with them.
STARTER_PRICE = 499
STARTER_CREDITS = [100, 10]
LEFT_AFTER_TOP_UP = 198
REFUNDED = 250
RECALLED_FOR_REFUND = 55
LEFT_AFTER_REPAYMENT = 143
KEPT_OF_STARTER = 249

# The stranger has 30 credits and buys 110. Unlocking the book takes the 30 and 20 of the pack.
UNLOCK_PRICE = 50
LEFT_AFTER_UNLOCK = 90
EARNED_WITH_UNLOCK = 2_450_000
# The dispute takes the pack's 90 from the wallet, and 20 of the 50 from the author's $1.75.
EARNED_IN_DISPUTE = 1_750_000

# The author has 50 credits, and asks for six covers of 5. One is taken back, five are drawn; the
# first of them is stopped, and the next one runs out of memory and is drawn again.
COVER_PRICE = 5
COVER_MODELS = {
    "realistic": "realisticVision_v40",
    "artistic": "deliberate_v2",
    "fantasy": "dreamshaper_7",
    "minimalist": "deliberate_v2",
    "vintage": "realisticVision_v40",
}
FIRST_STYLE = "realistic"
TAKEN_BACK_STYLE = "artistic"
TAKEN_BACK_PROMPT = "a ledger on a wet slipway"
UNDRAWN_STYLE = "vintage"
UNDRAWN_PROMPT = "nine gulls over the lamp room"
SHOWN_STYLE = "fantasy"
UNPAID_COVER = "402 insufficient_credits"
FOREIGN_STORY = "404 story_not_found"
SAME_COVER = "409 cover_already_requested"
TOO_LATE = "409 cover_job_over"
SET_ASIDE_FOR_SIX = 30
LEFT_AFTER_SIX = 20
PLACE_OF_SIXTH = 5  # one is being drawn, four are before it
SET_ASIDE_FOR_FIVE = 25
LEFT_AFTER_FIVE = 25
COVERS_TRIED_AGAIN = 1
# The seventh cannot be drawn.
LEFT_WHILE_TRIED = 20
TROUBLE = "It did not work this time."
TOLD_FAILED = "Your 5 credits are back in your wallet."
COVER_SIZE = (512, 768)
# A grant, seven covers that were paid, and two that were paid back.
LINES_OF_AUTHOR = 10

# Two authors set the price of a whole book, with all that is still to come.
FIRST_BOOK_UNLOCK = 175
THIRD_BOOK_UNLOCK = 150
CREATOR_PACK_PRICE = 3999
READER_PACK_PRICE = 999
# 2,000 credits less 175, 50 and 150; 143 and 300 less 150; 90 less 50.
LEFT_TO_NEWCOMER = 1625
LEFT_TO_READER = 293
LEFT_TO_STRANGER = 40
# To $2.45 come 175 credits of the first book and 60 % of 50, twice, of the second.
EARNED_IN_MONTH = {CREATOR: 10_675_000, COAUTHOR: 1_470_000, LATECOMER: 10_500_000}

IS_SET_UP = "Payouts are set up."
IS_MISSING = "Something is still missing."
MISSING_PAPER = "A photo of an identity document."
UNREADY = "403 payout_account_incomplete"

# $10.675 are $10.67 and half a cent, which stays.
PAID = 1067
PAID_MICRODOLLARS = 10_670_000
LEFT_OVER = 5_000
CREATORS_PAID = 1
CREATORS_SKIPPED = 2
SKIPPED = {COAUTHOR: "below_minimum", LATECOMER: "not_verified"}
TOLD_PAID = "Your payout of $10.67 is on its way"
TOLD_MISSING = "$10.50 is waiting for you"
TOO_LITTLE = "422 below_minimum_payout"

# All sales of the month; the chapter that was given back; the payout.
STATEMENT = [0, 10_850_000, -175_000, -10_670_000, 5_000]
# Then 175 credits of the first book are given back too: $6.125 of $0.005.
TAKEN_BACK = 6_125_000
EARNED_AT_THE_END = -6_120_000
REFUNDED_LINE = "Carried Forward: refunded"
STATEMENT_AT_THE_END = [0, 10_850_000, -6_300_000, -10_670_000, -6_120_000]

# Two charges less 44 cents each, less the refund, less $15 for the dispute: -$8.40. Two charges
# less $1.46 and 59 cents; less the payout.
AT_STRIPE = 2886

# Three grants; two sales with an earning each and one with two; a refund with its clawback: 12.
# A top-up (3) and its refund (3); another top-up (3), a sale with its earning (2), a dispute that
# opens (3) and is won (3); the fees on Stripe's statement (3): 31.
# Seven covers are paid; five of them are drawn, and two are paid back: 14.
# Two top-ups (3 each); three sales with an earning (2) and two with two (3); the payout set aside,
# sent and taken from Stripe (3); a refund with its clawback (2); two fees: 25.
MOVEMENTS = 71
MOVEMENTS_OF_COVERS = 14
