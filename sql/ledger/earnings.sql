-- What a sale earns its creators.

create or replace function ledger.allocate_creator_earnings(
    credits bigint, drawn_value_microdollars bigint, creator_basis_points integer, splits ledger.split[],
    reference_type text, reference_id uuid)
returns ledger.posting[]
language plpgsql stable
set search_path = ''
as $$
declare
    v_economy app.economy;
    v_base bigint;
    v_pool bigint;
    v_left bigint;
    v_share bigint;
    v_postings ledger.posting[] := '{}';
    v_posting ledger.posting;
begin
    select e.* into v_economy from app.economy as e;
    v_base := allocate_creator_earnings.credits * v_economy.credit_value_microdollars;
    if v_economy.earnings_mode = 'cash_value' then
        v_base := least(v_base, allocate_creator_earnings.drawn_value_microdollars);
    end if;
    v_pool := v_base * allocate_creator_earnings.creator_basis_points / 10000;
    v_left := v_pool;
    -- From the last to the first, so that what does not divide is left for the first.
    for i in reverse cardinality(allocate_creator_earnings.splits) .. 1 loop
        v_share := case
            when i = 1 then v_left
            else v_pool * allocate_creator_earnings.splits[i].basis_points / 10000 end;
        v_left := v_left - v_share;
        if v_share > 0 then
            v_posting := (
                'earning', 'usd', ledger.platform_id(), 'royalties',
                allocate_creator_earnings.splits[i].creator_id, 'earnings', v_share,
                allocate_creator_earnings.reference_type, allocate_creator_earnings.reference_id, null,
                allocate_creator_earnings.credits, v_base / allocate_creator_earnings.credits,
                allocate_creator_earnings.creator_basis_points,
                allocate_creator_earnings.splits[i].basis_points, null)::ledger.posting;
            v_postings := v_posting || v_postings;
        end if;
    end loop;
    return v_postings;
end;
$$;
comment on function ledger.allocate_creator_earnings(bigint, bigint, integer, ledger.split[], text, uuid) is $$The movements that pay a sale's creators

Earnings of a sale = credits x payout value of a credit x creators' part, in micro-dollars (seed 000: 70 % of 5 credits at $0.05 = $0.175). Each creator gets the floor of their part, the first the rest. The rates are stored with the movement and never looked up again. In cash_value mode a credit earns at most what was paid for it.$$;

create or replace function ledger.spend_credits(
    payer_id uuid, credits bigint, creator_basis_points integer, splits ledger.split[],
    reference_type text, reference_id uuid)
returns ledger.receipt
language plpgsql volatile
set search_path = ''
as $$
declare
    v_receipt ledger.receipt;
    v_value bigint;
    v_earnings ledger.posting[];
begin
    v_receipt.balance_after := ledger.lock_wallet(spend_credits.payer_id) - spend_credits.credits;
    v_receipt.transaction_id := app.new_id();
    v_value := ledger.draw_lots(spend_credits.payer_id, v_receipt.transaction_id, spend_credits.credits);
    v_earnings := ledger.allocate_creator_earnings(
        spend_credits.credits, v_value, spend_credits.creator_basis_points, spend_credits.splits,
        spend_credits.reference_type, spend_credits.reference_id);
    perform ledger.post(
        spend_credits.payer_id, v_receipt.transaction_id,
        ledger.posting(
            'spend', 'credit', spend_credits.payer_id, 'wallet', ledger.platform_id(), 'redeemed',
            spend_credits.credits, spend_credits.reference_type, spend_credits.reference_id) || v_earnings);
    select coalesce(sum(e.amount), 0) into v_receipt.earned_microdollars from unnest(v_earnings) as e;
    return v_receipt;
end;
$$;
comment on function ledger.spend_credits(uuid, bigint, integer, ledger.split[], text, uuid) is $$Spend a person's credits and pay the creators their part

`credits` at least 1; `splits` may be empty (nobody earns). Locks the payer's rows and no others. Errors: 402 insufficient_credits.$$;
