-- Stripe's statement and the ledger, line against line.

create or replace function app.collect_stripe_movements()
returns setof app.stripe_movement
language plpgsql stable
set search_path = ''
as $$
declare
    v_module regproc;
begin
    for v_module in
        select p.oid::regproc
        from pg_catalog.pg_proc as p
        where p.pronamespace = 'app'::regnamespace
            and p.prorettype = 'app.stripe_movement'::regtype
            and p.proretset
            and p.pronargs = 0
            and p.proname <> 'collect_stripe_movements'
    loop
        return query execute format('select * from %s()', v_module);
    end loop;
end;
$$;
comment on function app.collect_stripe_movements() is $$The movements through Stripe of every module

Each function without arguments that returns app.stripe_movement belongs to it.$$;

create or replace function app.stripe_movements()
returns table (source_id text, kind text, cents bigint, detail text, place bigint)
language sql stable
set search_path = ''
begin atomic
    select m.source_id, m.kind, m.cents, m.detail,
        row_number() over (partition by m.source_id, m.cents order by m.kind)
    from app.collect_stripe_movements() as m;
end;
comment on function app.stripe_movements() is $$What the ledger says went through Stripe, under Stripe's names

Without what was posted from the statement itself.$$;

create or replace function app.check_stripe_movements()
returns setof ledger.violation
language sql stable
set search_path = ''
begin atomic
    select 'stripe_movements', 'stripe',
        format('%s micro-dollars went through it, modules and the statement account for %s', s.moved, s.known)
    from (
        select
            coalesce(sum(case when t.credit_kind = 'stripe' then t.amount else -t.amount end), 0) as moved,
            coalesce(sum(case when t.credit_kind = 'stripe' then t.amount else -t.amount end)
                filter (where t.kind in ('fee', 'settlement', 'adjustment')), 0)
            + (select coalesce(sum(m.cents), 0) * 10000 from app.stripe_movements() as m) as known
        from ledger.transfers as t
        where t.credit_kind = 'stripe' or t.debit_kind = 'stripe'
    ) as s
    where s.moved <> s.known;
end;
comment on function app.check_stripe_movements() is $$Whatever went through Stripe, some module knows why$$;

create or replace function app.stripe_lines()
returns table (id text, source_id text, type text, cents bigint, created_at timestamptz, place bigint)
language sql stable
set search_path = ''
begin atomic
    select b.id, b.source_id, b.type, b.amount_cents, b.created_at,
        row_number() over (partition by b.source_id, b.amount_cents order by b.created_at, b.id)
    from app.stripe_balance_transactions as b
    where b.amount_cents <> 0
        and (
            b.currency <> 'usd'
            or b.type not in (
                'payout', 'payout_cancel', 'payout_failure', 'topup', 'topup_reversal',
                'stripe_fee', 'stripe_fx_fee', 'tax_fee'))
        and not exists (select from app.stripe_line_notes as n where n.line_id = b.id);
end;
comment on function app.stripe_lines() is $$The lines of Stripe's statement that the ledger must know of

Without fees and payouts to the bank, which are posted from the statement, and what was explained.$$;

create or replace function app.reconcile()
returns table (side text, stripe_id text, type text, amount_cents bigint, detail text)
language sql stable security definer
set search_path = ''
begin atomic
    select
        case when l.id is null then 'ledger' else 'stripe' end,
        coalesce(m.source_id, l.source_id),
        coalesce(m.kind, l.type),
        coalesce(m.cents, l.cents),
        case
            when l.id is null then m.detail || ' is not on Stripe''s statement'
            else format(
                '%s of %s is not in the ledger', l.id, to_char(l.created_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI'))
        end
    from app.stripe_movements() as m
    full join app.stripe_lines() as l
        on l.source_id = m.source_id and l.cents = m.cents and l.place = m.place
    where m.kind is null or l.id is null;
end;
comment on function app.reconcile() is $$What is only on one side: on Stripe's statement, or in the ledger

Each movement of the account stripe is matched with the line of the same charge, refund or dispute and the same amount. Empty: all is accounted for. As true as the newest import.$$;
grant execute on function app.reconcile() to service_role;

create or replace function app.explain_stripe_line(line_id text, reason text)
returns void
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_reason constant text := app.require_text(explain_stripe_line.reason, 'reason', 500);
    v_transaction_id uuid;
    v_line app.stripe_balance_transactions;
begin
    select b.* into v_line
    from app.stripe_balance_transactions as b
    where b.id = explain_stripe_line.line_id
    for update;
    if not found then
        perform app.fail(404, 'stripe_line_not_found', 'There is no such line on Stripe''s statement.');
    elsif not exists (
        select from app.stripe_lines() as l
        where l.id = v_line.id
            and not exists (
                select from app.stripe_movements() as m
                where m.source_id = l.source_id and m.cents = l.cents and m.place = l.place))
    then
        perform app.fail(409, 'already_explained', 'The ledger accounts for this line already.');
    elsif v_line.created_at > now() - interval '1 day' then
        -- Its event may be on its way, and the money would be there twice.
        perform app.fail(
            409, 'line_too_new', 'What explains this line by itself may still come. Wait until it is a day old.',
            format('It is of %s.', to_char(v_line.created_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')));
    end if;
    if v_line.currency = 'usd' then
        v_transaction_id := app.new_id();
        perform ledger.post(
            ledger.platform_id(), v_transaction_id,
            array[ledger.posting(
                'adjustment', 'usd',
                ledger.platform_id(), case when v_line.amount_cents < 0 then 'stripe' else 'other' end,
                ledger.platform_id(), case when v_line.amount_cents < 0 then 'other' else 'stripe' end,
                abs(v_line.amount_cents) * 10000, 'stripe_' || v_line.type, null)]);
    end if;
    insert into app.stripe_line_notes (line_id, reason, transaction_id)
    values (v_line.id, v_reason, v_transaction_id);
    perform app.audit('explain_stripe_line', v_line.id, jsonb_build_object('reason', v_reason));
end;
$$;
comment on function app.explain_stripe_line(text, text) is $$Take a line of Stripe's statement into the books that nothing here caused

Another shop on the same account, or money that was settled by hand. Posted against the account other, and on record in the audit log. Errors: 400 text_required, 404 stripe_line_not_found, 409 already_explained, 409 line_too_new.$$;
grant execute on function app.explain_stripe_line(text, text) to service_role;

create or replace function app.check_stripe_notes()
returns setof ledger.violation
language sql stable
set search_path = ''
begin atomic
    select 'stripe_note', coalesce(n.line_id, t.transaction_id::text),
        format('%s cents were explained, %s micro-dollars were posted', coalesce(b.amount_cents, 0), coalesce(t.amount, 0))
    from app.stripe_line_notes as n
    inner join app.stripe_balance_transactions as b on b.id = n.line_id and b.currency = 'usd'
    full join (
        select p.transaction_id,
            sum(case when p.credit_kind = 'stripe' then p.amount else -p.amount end)::bigint as amount
        from ledger.transfers as p
        where p.kind = 'adjustment'
        group by p.transaction_id
    ) as t on t.transaction_id = n.transaction_id
    where coalesce(b.amount_cents, 0) * 10000 <> coalesce(t.amount, 0);
end;
comment on function app.check_stripe_notes() is $$What was explained of Stripe's statement is posted, and nothing else$$;

create or replace trigger tg_stripe_line_notes__append_only
before update or delete on app.stripe_line_notes
for each row execute function app.refuse_change();
create or replace trigger tg_stripe_line_notes__no_truncate
before truncate on app.stripe_line_notes
for each statement execute function app.refuse_change();

create or replace function app.stripe_balance(out ledger_microdollars bigint, out statement_cents bigint)
returns record
language sql stable security definer
set search_path = ''
begin atomic
    select
        ledger.balance(ledger.platform_id(), 'stripe'),
        (select coalesce(sum(b.net_cents), 0)::bigint
            from app.stripe_balance_transactions as b
            where b.currency = 'usd');
end;
comment on function app.stripe_balance() is $$What Stripe holds for the platform

By the ledger, and by the lines of its statement.$$;
