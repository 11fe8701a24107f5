-- What a sale earns its creators.

create or replace function ledger.allocate_creator_earnings(
    credits bigint, drawn_value_microdollars bigint, rates ledger.rates, splits ledger.split[],
    reference_type text, reference_id uuid)
returns ledger.posting[]
language plpgsql immutable
set search_path = ''
as $$
declare
    v_base bigint := allocate_creator_earnings.credits * allocate_creator_earnings.rates.credit_value_microdollars;
    v_pool bigint;
    v_left bigint;
    v_share bigint;
    v_split ledger.split;
    v_postings ledger.posting[] := '{}'::ledger.posting[];
begin
    if allocate_creator_earnings.rates.earnings_mode = 'cash_value' then
        v_base := least(v_base, allocate_creator_earnings.drawn_value_microdollars);
    end if;
    v_pool := v_base * allocate_creator_earnings.rates.creator_basis_points / 10000;
    v_left := v_pool;
    -- From the last to the first, so that what does not divide is left for the first.
    for i in reverse cardinality(allocate_creator_earnings.splits) .. 1 loop
        v_split := allocate_creator_earnings.splits[i];
        v_share := case when i = 1 then v_left else v_pool * v_split.basis_points / 10000 end;
        v_left := v_left - v_share;
        if v_share > 0 then
            v_postings := (
                'earning', 'usd', ledger.platform_id(), 'royalties', v_split.creator_id, 'earnings', v_share,
                allocate_creator_earnings.reference_type, allocate_creator_earnings.reference_id, null,
                allocate_creator_earnings.credits, v_base / allocate_creator_earnings.credits,
                allocate_creator_earnings.rates.creator_basis_points, v_split.basis_points
            )::ledger.posting || v_postings;
        end if;
    end loop;
    return v_postings;
end;
$$;
comment on function ledger.allocate_creator_earnings(bigint, bigint, ledger.rates, ledger.split[], text, uuid) is $$The movements that pay a sale's creators

Earnings of a sale = credits x payout value of a credit x creators' part, in micro-dollars (`rates`; seed 000: 70 % of 5 credits at $0.05 = $0.175). Each creator gets the floor of their part, the first the rest. The rates are stored with the movement and never looked up again. In cash_value mode a credit earns at most what was paid for it.$$;

create or replace function ledger.spend_credits(
    payer_id uuid, credits bigint, rates ledger.rates, splits ledger.split[],
    reference_type text, reference_id uuid)
returns ledger.receipt
language plpgsql volatile
set search_path = ''
as $$
declare
    v_transaction_id constant uuid := app.new_id();
    v_value bigint;
    v_earnings ledger.posting[];
    v_earning ledger.posting;
    v_earned bigint := 0;
    v_balance bigint;
begin
    v_value := ledger.draw_lots(spend_credits.payer_id, v_transaction_id, spend_credits.credits);
    v_earnings := ledger.allocate_creator_earnings(
        spend_credits.credits, v_value, spend_credits.rates, spend_credits.splits,
        spend_credits.reference_type, spend_credits.reference_id);
    v_balance := ledger.post(
        spend_credits.payer_id, v_transaction_id,
        (
            'spend', 'credit', spend_credits.payer_id, 'wallet', ledger.platform_id(), 'redeemed',
            spend_credits.credits, spend_credits.reference_type, spend_credits.reference_id, null,
            null, null, null, null
        )::ledger.posting || v_earnings);
    foreach v_earning in array v_earnings loop
        v_earned := v_earned + v_earning.amount;
    end loop;
    return (v_transaction_id, v_balance, v_earned)::ledger.receipt;
end;
$$;
comment on function ledger.spend_credits(uuid, bigint, ledger.rates, ledger.split[], text, uuid) is $$Spend a person's credits and pay the creators their part

The caller has locked the payer's wallet (ledger.lock_wallet) and decided the price under that lock; no other rows are locked. `credits` at least 1; `splits` may be empty (nobody earns). Errors: 402 insufficient_credits.$$;
