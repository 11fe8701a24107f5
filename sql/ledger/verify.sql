-- One call proves all invariants. Every function named check_... that returns ledger.violation belongs to it.

create or replace function ledger.check_guarded_balances()
returns setof ledger.violation
language sql stable
set search_path = ''
begin atomic
    select 'guarded_balance', format('%s %s', owner_id, kind),
        format('the account says %s, its movements %s', coalesce(a.balance::text, 'nothing'), coalesce(m.balance, 0))
    from (select a.owner_id, a.kind, a.balance from ledger.accounts as a where a.is_guarded) as a
    full join (
        select s.owner_id, s.kind, sum(s.amount)::bigint as balance
        from ledger.transfers as t
        cross join lateral (
            values (t.debit_owner_id, t.debit_kind, -t.amount), (t.credit_owner_id, t.credit_kind, t.amount)
        ) as s (owner_id, kind, amount)
        where s.kind = any (ledger.guarded_kinds())
        group by s.owner_id, s.kind
    ) as m using (owner_id, kind)
    where a.balance is distinct from coalesce(m.balance, 0);
end;
comment on function ledger.check_guarded_balances() is $$A wallet holds the sum of its movements$$;

create or replace function ledger.check_open_balances()
returns setof ledger.violation
language sql stable
set search_path = ''
begin atomic
    select 'open_balance', format('%s %s', owner_id, kind),
        format('folded %s, movements below the fold %s', coalesce(a.balance, 0), coalesce(m.balance, 0))
    from (select a.owner_id, a.kind, a.balance, a.credited from ledger.accounts as a where not a.is_guarded) as a
    full join (
        select o.owner_id, o.kind, o.balance, o.credited
        from ledger.open_totals(0, (select ledger.folded_position())) as o
    ) as m using (owner_id, kind)
    where ledger.folded_position() >= 0
        and (coalesce(a.balance, 0), coalesce(a.credited, 0))
        is distinct from (coalesce(m.balance, 0), coalesce(m.credited, 0));
end;
comment on function ledger.check_open_balances() is $$A folded total holds every movement below the fold$$;

create or replace function ledger.check_assets()
returns setof ledger.violation
language sql stable
set search_path = ''
begin atomic
    select 'account_asset', format('%s %s', a.owner_id, a.kind),
        format('holds %s, guarded %s', a.asset, a.is_guarded)
    from ledger.accounts as a
    where a.asset is distinct from ledger.asset_of(a.kind)
        or a.is_guarded is distinct from (a.kind = any (ledger.guarded_kinds()))
    union all
    select 'transfer_asset', format('%s transfer %s', t.book_id, t.id),
        format('%s %s from %s to %s', t.amount, t.asset, t.debit_kind, t.credit_kind)
    from ledger.transfers as t
    where t.asset is distinct from ledger.asset_of(t.debit_kind)
        or t.asset is distinct from ledger.asset_of(t.credit_kind)
        or (t.debit_owner_id, t.debit_kind) = (t.credit_owner_id, t.credit_kind);
end;
comment on function ledger.check_assets() is $$An account holds the asset of its kind$$;

create or replace function ledger.check_lots()
returns setof ledger.violation
language sql stable
set search_path = ''
begin atomic
    select 'lot_draws', format('%s lot %s', l.book_id, l.id),
        format('%s of %s credits gone, draws say %s', l.credits - l.remaining, l.credits, coalesce(d.credits, 0))
    from ledger.lots as l
    left join (
        select d.book_id, d.lot_id, sum(d.credits) as credits, sum(d.value_microdollars) as value
        from ledger.draws as d
        group by d.book_id, d.lot_id
    ) as d on d.book_id = l.book_id and d.lot_id = l.id
    where l.is_spent <> (l.remaining = 0)
        or l.paid_microdollars < 0
        or l.remaining + l.withdrawn > l.credits
        or l.credits - l.remaining <> coalesce(d.credits, 0)
        or ledger.portion(l.paid_microdollars, 0, l.credits - l.remaining, l.credits) <> coalesce(d.value, 0)
    union all
    select 'wallet_lots', owner_id::text, format('wallet %s, lots %s', coalesce(a.balance, 0), coalesce(l.remaining, 0))
    from (select a.owner_id, a.balance from ledger.accounts as a where a.kind = 'wallet') as a
    full join (
        select l.book_id as owner_id, sum(l.remaining) as remaining from ledger.lots as l group by l.book_id
    ) as l using (owner_id)
    where coalesce(a.balance, 0) <> coalesce(l.remaining, 0);
end;
comment on function ledger.check_lots() is $$Lots, draws and wallets tell the same story$$;

create or replace function ledger.check_transactions()
returns setof ledger.violation
language sql stable
set search_path = ''
begin atomic
    -- Out of a wallet: the draws; into a wallet: the lots.
    select 'transaction_credits', format('%s transaction %s', book_id, transaction_id),
        format(
            '%s credits out and %s in, draws %s and lots %s',
            coalesce(t.spent, 0), coalesce(t.received, 0), coalesce(d.credits, 0), coalesce(l.credits, 0))
    from (
        select t.book_id, t.transaction_id,
            coalesce(sum(t.amount) filter (where t.debit_kind = 'wallet'), 0) as spent,
            coalesce(sum(t.amount) filter (where t.credit_kind = 'wallet'), 0) as received
        from ledger.transfers as t
        where t.asset = 'credit'
        group by t.book_id, t.transaction_id
    ) as t
    full join (
        select d.book_id, d.transaction_id, sum(d.credits) as credits
        from ledger.draws as d group by d.book_id, d.transaction_id
    ) as d using (book_id, transaction_id)
    full join (
        select l.book_id, l.transaction_id, sum(l.credits) as credits
        from ledger.lots as l group by l.book_id, l.transaction_id
    ) as l using (book_id, transaction_id)
    where coalesce(t.spent, 0) <> coalesce(d.credits, 0) or coalesce(t.received, 0) <> coalesce(l.credits, 0);
end;
comment on function ledger.check_transactions() is $$Every credit that moved left a lot or made one$$;

create or replace function ledger.check_earnings()
returns setof ledger.violation
language sql stable
set search_path = ''
begin atomic
    select 'earnings_of_sale', format('%s transaction %s', e.book_id, e.transaction_id),
        format('creators got %s micro-dollars of a sale of %s credits at %s', e.amount, s.amount, e.credit_value)
    from (
        select t.book_id, t.transaction_id, sum(t.amount) as amount, max(t.credits) as credits,
            max(t.credit_value) as credit_value, max(t.creator_basis_points) as creator_basis_points,
            sum(t.split_basis_points) as splits
        from ledger.transfers as t
        where t.kind = 'earning'
        group by t.book_id, t.transaction_id
    ) as e
    left join ledger.transfers as s
        on s.book_id = e.book_id and s.transaction_id = e.transaction_id and s.kind = 'spend'
    where s.amount is distinct from e.credits
        or e.amount < div(e.credits::numeric * e.credit_value * e.creator_basis_points, 10000)
        or e.amount > div(e.credits::numeric * (e.credit_value + 1) * e.creator_basis_points, 10000)
        or e.splits > 10000
    union all
    -- Each creator has the floor of their part, the first up to a micro-dollar more for each of the others.
    select 'split_of_sale', format('%s transfer %s', e.book_id, e.id),
        format('%s of %s micro-dollars for %s basis points', e.amount, e.pool, e.split_basis_points)
    from (
        select t.book_id, t.id, t.amount, t.split_basis_points,
            sum(t.amount) over (partition by t.book_id, t.transaction_id) as pool
        from ledger.transfers as t
        where t.kind = 'earning'
    ) as e
    where e.amount < div(e.pool * e.split_basis_points, 10000)
        or e.amount > div(e.pool * e.split_basis_points, 10000) + 20;
end;
comment on function ledger.check_earnings() is $$The creators of a sale got their part, by the rates stored with it$$;

create or replace function ledger.check_reversals()
returns setof ledger.violation
language sql stable
set search_path = ''
begin atomic
    with released as materialized (
        select t.book_id, t.reverses_id as id, sum(t.amount)::bigint as amount
        from ledger.transfers as t
        where t.kind = 'release' and t.reverses_id is not null
        group by t.book_id, t.reverses_id
    ),
    reversed as materialized (
        select t.book_id, t.reverses_id as id, sum(t.amount - coalesce(b.amount, 0))::bigint as amount, count(b.id) as releases
        from ledger.transfers as t
        left join released as b on b.book_id = t.book_id and b.id = t.id
        where t.reverses_id is not null
        group by t.book_id, t.reverses_id
    )
    select 'reversal', format('%s transfer %s', r.book_id, r.id),
        format('%s came back of %s', r.amount, coalesce(o.amount::text, 'a movement that is not there'))
    from reversed as r
    left join ledger.transfers as o on o.book_id = r.book_id and o.id = r.id
    where o.amount is null or r.amount > o.amount
    union all
    -- Of each earning of a sale the same part is gone as of its credits, and all with all. A release may
    -- leave it a micro-dollar off, which the next part makes good.
    select 'clawback', format('%s transfer %s', e.book_id, e.id),
        format('%s of %s credits came back, and %s of %s micro-dollars', s.taken, s.amount, coalesce(c.amount, 0), e.amount)
    from (
        select t.book_id, t.transaction_id, t.amount, ledger.taken_credits(t.book_id, t.transaction_id, t.id) as taken
        from ledger.transfers as t
        where t.kind = 'spend'
            and (
                exists (select from reversed as r where r.book_id = t.book_id and r.id = t.id)
                or exists (
                    select from ledger.recall_lines as n
                    where n.book_id = t.book_id and n.spend_transaction_id = t.transaction_id))
    ) as s
    inner join ledger.transfers as e
        on e.book_id = s.book_id and e.transaction_id = s.transaction_id and e.kind = 'earning'
    left join reversed as c on c.book_id = e.book_id and c.id = e.id
    where abs(coalesce(c.amount, 0) - ledger.portion(e.amount, 0, s.taken, s.amount))
        > case when s.taken = s.amount then 0 else coalesce(c.releases, 0) end;
end;
comment on function ledger.check_reversals() is $$No more comes back than went$$;

create or replace function ledger.check_statements()
returns setof ledger.violation
language sql stable
set search_path = ''
begin atomic
    -- Each movement leads from one balance to the next, so every balance is left as often as it is reached,
    -- but for 0, where a wallet begins, and the present one. No order is needed, and so no clock.
    select 'balance_after', s.owner_id::text,
        format(
            case
                when sum(s.reached) > 0 then 'the statement comes to %s and does not go on'
                else 'the statement goes on from %s and never came there'
            end,
            coalesce(s.balance::text, 'no balance'))
    from (
        select t.book_id, t.balance_after, 1
        from ledger.transfers as t
        where t.credit_kind = 'wallet' or t.debit_kind = 'wallet'
        union all
        select t.book_id, t.balance_after - case when t.credit_kind = 'wallet' then t.amount else -t.amount end, -1
        from ledger.transfers as t
        where t.credit_kind = 'wallet' or t.debit_kind = 'wallet'
        union all
        select a.owner_id, w.balance, w.reached
        from ledger.accounts as a
        cross join lateral (values (a.balance, -1), (0, 1)) as w (balance, reached)
        where a.kind = 'wallet'
    ) as s (owner_id, balance, reached)
    group by s.owner_id, s.balance
    having sum(s.reached) <> 0;
end;
comment on function ledger.check_statements() is $$A wallet's statement leads from nothing to its balance, line by line$$;

create or replace function ledger.check_seals()
returns setof ledger.violation
language sql stable
set search_path = ''
begin atomic
    select 'seal', format('seal %s', s.number),
        case
            when d.digest <> s.digest or d.transfers <> s.transfers
                then format('holds %s movements, sealed were %s: a sealed row was changed, added or removed', d.transfers, s.transfers)
            else 'the chain is broken before this link'
        end
    from (
        select s.*,
            coalesce(lag(s.chain) over (order by s.number), ''::bytea) as chain_before,
            coalesce(lag(s.to_position) over (order by s.number), 0) as position_before,
            row_number() over (order by s.number) as place
        from ledger.seals as s
    ) as s
    cross join lateral ledger.digest(s.from_position, s.to_position) as d
    where d.digest <> s.digest
        or d.transfers <> s.transfers
        or s.chain <> sha256(s.chain_before || s.digest)
        or s.from_position <> s.position_before
        or s.number <> s.place;
end;
comment on function ledger.check_seals() is $$Nothing that was sealed has changed$$;

create or replace function ledger.check_partitions()
returns setof ledger.violation
language sql stable
set search_path = ''
begin atomic
    select 'default_partition', 'ledger.transfers_default',
        format('%s movements have no partition of their own: run ledger.ensure_partitions() ahead of time', count(*))
    from ledger.transfers_default
    having count(*) > 0;
end;
comment on function ledger.check_partitions() is $$Every month has its partition$$;

create or replace function ledger.check_restore()
returns setof ledger.violation
language sql stable
set search_path = ''
begin atomic
    select 'restored', 'ledger.fold_state',
        'this database was restored into another cluster: run `infinite-pages migrate` before the next sale'
    where ledger.folded_position() < 0
    union all
    select 'fold_state', 'ledger.fold_state', 'its row is gone, and with it the meaning of every folded total'
    where not exists (select from ledger.fold_state);
end;
comment on function ledger.check_restore() is $$Positions fit this cluster$$;

create or replace function ledger.check_guards()
returns setof ledger.violation
language sql stable
set search_path = ''
begin atomic
    select 'trigger_disabled', format('%s on %s', t.tgname, t.tgrelid::regclass), 'an append-only guard is switched off'
    from pg_catalog.pg_trigger as t
    inner join pg_catalog.pg_proc as p on p.oid = t.tgfoid
    where p.proname = 'refuse_change' and t.tgenabled not in ('O', 'A')
    union all
    select 'guard_missing', c.oid::regclass::text, format('nothing refuses to %s', e.event)
    from pg_catalog.pg_class as c
    cross join (values ('update', 16), ('delete', 8), ('truncate', 32)) as e (event, bit)
    where (c.relnamespace = 'ledger'::regnamespace or c.oid = 'app.audit_log'::regclass)
        and c.relkind in ('r', 'p')
        and c.relname not in ('fold_state', 'earning_totals')
        and not (e.event = 'update' and c.relname in ('accounts', 'lots', 'recalls', 'reservations'))
        and not exists (
            select from pg_catalog.pg_trigger as t
            inner join pg_catalog.pg_proc as p on p.oid = t.tgfoid
            where t.tgrelid = c.oid and p.proname = 'refuse_change' and t.tgtype::integer & e.bit > 0);
end;
comment on function ledger.check_guards() is $$The append-only guards are on$$;

create or replace function ledger.verify()
returns setof ledger.violation
language plpgsql stable security definer
set search_path = ''
as $$
declare
    v_check regproc;
begin
    for v_check in
        select p.oid::regproc
        from pg_catalog.pg_proc as p
        inner join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
        where n.nspname in ('ledger', 'app')
            and p.proname like 'check\_%'
            and p.prorettype = 'ledger.violation'::regtype
            and p.pronargs = 0
        order by n.nspname desc, p.proname
    loop
        return query execute format('select * from %s()', v_check);
    end loop;
end;
$$;
comment on function ledger.verify() is $$Prove every invariant

Each violation is a row; an empty answer means all is well. One snapshot, so it can run beside traffic. It reads everything: minutes on a large ledger.$$;
