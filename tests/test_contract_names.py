"""Every table that the plans name is there, with the columns that they give it.

The plans' text as a table: the columns stand in their order. What a view has more stands behind.
"""

from collections.abc import Iterator

import pytest

from api.stack.supervisor import Stack
from tests.shop import Shop, open_shop

# Where the plans have no list of columns, those are here that they mention.
PLANNED = {
    "profiles": "id subscription_tier credits_balance credits_earned_total credits_spent_total "
    "cache_hits cache_discount_earned is_creator creator_tier total_earnings_usd "
    "pending_payout_usd stripe_connect_account_id",
    "subscription_usage": "id user_id subscription_tier credits_used_this_month "
    "stories_read_this_month downloads_this_month period_start period_end created_at updated_at",
    "stories": "id user_id title status word_count chapter_count total_tokens_used",
    "chapters": "id story_id chapter_number title status tokens_used",
    "story_covers": "id story_id cover_url cover_style generation_prompt is_primary "
    "generation_cost sd_model_used created_at updated_at",
    "cover_generation_queue": "id story_id user_id generation_prompt cover_style status priority "
    "retry_count error_message webui_task_id estimated_completion created_at updated_at",
    "creator_earnings": "id creator_id story_id reader_id credits_earned usd_equivalent "
    "transaction_id created_at",
    "creator_earnings_accumulation": "creator_id total_accumulated_usd",
    "payouts": "id creator_id amount_usd stripe_transfer_id status period_start period_end "
    "earnings_count failure_reason processed_at created_at updated_at",
    "monthly_payout_batches": "id",
    "individual_payouts": "id batch_id creator_id amount_usd status",
    "story_pricing": "id story_id creator_id price_per_chapter bundle_discount is_free_sample "
    "free_chapters premium_unlock_price created_at updated_at",
    "story_purchases": "id user_id story_id creator_id purchase_type chapters_unlocked "
    "credits_spent creator_earnings created_at",
    "credit_packages": "id name description credits_amount price_usd bonus_credits "
    "stripe_price_id is_active sort_order created_at updated_at",
    "credit_transactions": "id user_id transaction_type amount balance_after description "
    "reference_id reference_type metadata created_at",
    "payments": "id user_id stripe_payment_intent_id stripe_customer_id package_id amount_usd "
    "credits_purchased bonus_credits status payment_method failure_reason processed_at "
    "created_at updated_at",
    "reading_progress": "id user_id story_id chapter_id progress_percentage last_read_at "
    "reading_time_minutes created_at updated_at",
    "user_library": "id user_id story_id added_at is_favorite reading_status personal_rating "
    "personal_notes created_at updated_at",
    "exports": "id user_id story_id",
    "generation_logs": "id user_id story_id chapter_id",
    "ai_usage_logs": "id user_id story_id chapter_id",
    "infinite_pages_cache": "id user_id story_id",
    "cache_rewards": "id user_id story_id chapter_id cache_key credits_saved original_cost "
    "discounted_cost hit_count created_at",
}
FOR_OPERATORS = {"monthly_payout_batches"}

# One table for the whole of a reader's state, which the plans wish for: `library_status` is
# called `status` here.
READING_STATE = "story_id current_chapter progress_percentage access_level status last_read_at"


@pytest.fixture(scope="module")
def shop(stack: Stack) -> Iterator[Shop]:
    with open_shop(stack) as shop:
        yield shop


def test_there_are_twenty_three() -> None:
    assert len(PLANNED) == 23


@pytest.mark.parametrize("name", [*PLANNED, "reading_state"])
def test_it_answers_with_the_columns_of_the_plan(shop: Shop, name: str) -> None:
    columns = PLANNED.get(name, READING_STATE).split()
    caller = shop.operator() if name in FOR_OPERATORS else shop.creator()
    answer = caller.get(f"/{name}?select={','.join(columns)}&limit=1")
    assert answer.status_code == 200, answer.text
    for row in answer.json():
        assert list(row) == columns


@pytest.mark.parametrize("name", sorted(PLANNED.keys() - FOR_OPERATORS))
def test_a_column_of_no_plan_is_missed(shop: Shop, name: str) -> None:
    """Or else the test above would show nothing."""
    answer = shop.creator().get(f"/{name}?select=no_such_column")
    assert answer.status_code == 400
    assert answer.json()["code"] == "42703"
