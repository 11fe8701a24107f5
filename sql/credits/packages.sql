-- Packages: what is sold, and whether it pays.

create or replace function app.package_margins()
returns table (
    name text, credits bigint, price_microdollars bigint, owed_microdollars bigint, margin_microdollars bigint)
language sql stable security definer
set search_path = ''
begin atomic
    select m.name, m.credits, m.price, m.owed, m.price - m.owed
    from (
        select
            p.name,
            p.sort_order,
            p.credits_amount + p.bonus_credits as credits,
            p.price_cents * 10000 as price,
            case e.earnings_mode
                when 'fixed' then (p.credits_amount + p.bonus_credits) * e.credit_value_microdollars
                else least((p.credits_amount + p.bonus_credits) * e.credit_value_microdollars, p.price_cents * 10000)
            end * e.story_creator_basis_points / 10000 as owed
        from app.credit_packages as p
        cross join app.economy as e
        where p.is_active
    ) as m
    order by m.sort_order, m.name;
end;
comment on function app.package_margins() is $$Price of each package against what its credits cost the platform

Amounts in micro-dollars.$$;
grant execute on function app.package_margins() to service_role;
