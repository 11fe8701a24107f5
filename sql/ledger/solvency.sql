-- What the platform owes creators for outstanding credits, against what it was paid for them.

create or replace function ledger.solvency()
returns table (
    source text, outstanding_credits bigint, paid_microdollars bigint,
    owed_microdollars bigint, margin_microdollars bigint)
language sql stable security definer
set search_path = ''
begin atomic
    select
        l.source,
        coalesce(sum(l.remaining), 0)::bigint,
        coalesce(sum(l.paid), 0)::bigint,
        coalesce(sum(l.owed), 0)::bigint,
        (coalesce(sum(l.paid), 0) - coalesce(sum(l.owed), 0))::bigint
    from (
        select
            l.source,
            l.remaining,
            l.paid_microdollars - ledger.portion(l.paid_microdollars, 0, l.credits - l.remaining, l.credits) as paid,
            case e.earnings_mode
                when 'fixed' then l.remaining * e.credit_value_microdollars
                else least(
                    l.remaining * e.credit_value_microdollars,
                    l.paid_microdollars - ledger.portion(l.paid_microdollars, 0, l.credits - l.remaining, l.credits))
            end * e.story_creator_basis_points / 10000 as owed
        from ledger.lots as l
        cross join app.economy as e
        where not l.is_spent
    ) as l
    group by rollup (l.source)
    order by l.source nulls last;
end;
comment on function ledger.solvency() is $$What the credits outstanding will cost, against what was paid for them

What creators will earn when they are spent on stories, by source. Amounts in micro-dollars; the row without a source is the total. A negative margin means that these credits cost more than they brought: change the packages, or set app.economy.earnings_mode to cash_value.$$;
