-- What creators need to be paid, and what keeps some of them from it. Eight in ten are ready.
-- psql variables: creators (besides the star), minimum_cents, months_past

update app.economy set minimum_payout_cents = :minimum_cents;

insert into app.payout_accounts (
    user_id, is_live, stripe_account_id, country, details_submitted, payouts_enabled, transfers_status, read_at)
select
    bench.creator(n), false, format('acct_bench%s', n), 'US', n % 10 <> 8, n % 10 <> 8,
    case n % 10 when 8 then 'pending' else 'active' end, now()
from generate_series(0, :creators) as n
where n % 10 <> 9;

insert into app.payout_settings (creator_id, paused_at, review_since, review_reason)
select
    bench.creator(n), case n % 50 when 11 then now() end, case n % 50 when 22 then now() end,
    case n % 50 when 22 then 'Somebody has to look at it.' end
from generate_series(0, :creators) as n
where n % 50 in (11, 22);

-- The product makes partitions ahead; this past needs some behind, like them in all that is checked.
select set_config('bench.months_past', :'months_past', true);
do $$
declare
    v_month timestamp;
    v_name text;
begin
    for i in 1 .. current_setting('bench.months_past')::integer loop
        v_month := date_trunc('month', now() at time zone 'UTC') - make_interval(months => i);
        v_name := 'transfers_' || to_char(v_month, 'YYYY_MM');
        execute format(
            'create table ledger.%I partition of ledger.transfers for values from (%L) to (%L)', v_name,
            ledger.id_floor(v_month at time zone 'UTC'),
            ledger.id_floor((v_month + interval '1 month') at time zone 'UTC'));
        execute format('alter table ledger.%I owner to app_owner', v_name);
        execute format('alter table ledger.%I enable row level security', v_name);
        execute format(
            'create trigger %I before truncate on ledger.%I for each statement execute function app.refuse_change()',
            'tg_' || v_name || '__no_truncate', v_name);
    end loop;
end
$$;
