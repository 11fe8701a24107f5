-- ledger: credits that are set aside while the payments behind them are taken back, in every order (K5, K6, cases 4 to 6).
begin;
\ir helpers.psql
select plan(24);

-- A life: five credits are set aside, two of one payment and three of another, and a credit of each is
-- left. It is captured or given back, and two recalls are frozen and decided, in one of all the orders.
-- Next to what really happens it keeps a small account of what should: of each payment what is unspent and
-- what is drawn, and of each recall what it took from either.
create table tests.lives (
    id integer generated always as identity primary key,
    user_id uuid not null generated always as (tests.user_id('life ' || id)) stored,
    steps text[] not null,
    payments integer[] not null,
    credits bigint[] not null,
    payment_ids uuid[] not null default array[app.new_id(), app.new_id()],
    transaction_id uuid,
    recall_ids uuid[] not null default '{}',
    state text not null default 'held',
    unspent bigint[] not null default '{1,1}',
    drawn bigint[] not null default '{2,3}',
    from_wallet bigint[] not null default '{0,0}',
    from_sales bigint[] not null default '{0,0}',
    recall_states text[] not null default '{none,none}'
);

insert into tests.lives (steps, payments, credits)
with recursive orders (steps, ending, first, second) as (
    select '{}'::text[], e.ending, f.first, s.second
    from (values ('{capture}'::text[]), ('{release}')) as e (ending)
    cross join (values ('{freeze 1,settle 1,undo 1}'::text[]), ('{freeze 1,undo 1}')) as f (first)
    cross join (values ('{freeze 2,settle 2,undo 2}'::text[]), ('{freeze 2,undo 2}')) as s (second)
    union all
    select o.steps || n.step, n.ending, n.first, n.second
    from orders as o
    cross join lateral (values
        (o.ending[1], o.ending[2:], o.first, o.second),
        (o.first[1], o.ending, o.first[2:], o.second),
        (o.second[1], o.ending, o.first, o.second[2:])) as n (step, ending, first, second)
    where n.step is not null
)
select o.steps, v.payments, v.credits
from (
    select r.steps, row_number() over (order by r.steps) as number
    from orders as r
    where cardinality(r.ending || r.first || r.second) = 0
) as o
-- All of both payments, a part of both, all of one and then more of it, and twice a part of one: in turn.
inner join (values
    (0, '{1,2}'::integer[], '{3,4}'::bigint[]), (1, '{1,2}', '{2,3}'), (2, '{2,2}', '{4,2}'), (3, '{2,2}', '{2,1}')
) as v (turn, payments, credits) on v.turn = o.number % 4
order by o.number;

create function tests.begin_life(life tests.lives)
returns uuid
language plpgsql volatile
as $$
declare
    v_lot record;
begin
    for v_lot in
        select p.payment_id, p.credits, p.source
        from (values
            ((life).payment_ids[1], 2, 'purchase'), ((life).payment_ids[2], 3, 'purchase'),
            ((life).payment_ids[1], 1, 'bonus'), ((life).payment_ids[2], 1, 'bonus')) as p (payment_id, credits, source)
    loop
        perform ledger.grant_credits(
            (life).user_id, v_lot.credits, v_lot.source, v_lot.credits * 50000,
            reference_type => 'payment', reference_id => v_lot.payment_id);
    end loop;
    return (ledger.reserve_credits((life).user_id, 5, 'test', null)).transaction_id;
end;
$$;

-- What a step did: credits, or 1 where something was decided and 0 where there was nothing to decide.
create function tests.do_step(life tests.lives, step text)
returns bigint
language plpgsql volatile
as $$
declare
    v_number constant integer := nullif(split_part(do_step.step, ' ', 2), '');
    v_recall_id uuid;
begin
    case split_part(do_step.step, ' ', 1)
        when 'capture' then
            return ledger.capture_reservation((life).user_id, (life).transaction_id);
        when 'release' then
            return ledger.release_reservation((life).user_id, (life).transaction_id);
        when 'settle' then
            return ledger.settle_recall((life).user_id, (life).recall_ids[v_number])::integer;
        when 'undo' then
            return ledger.release_recall((life).user_id, (life).recall_ids[v_number])::integer;
        else
            v_recall_id := ledger.recall(
                (life).user_id, (life).payment_ids[(life).payments[v_number]], (life).credits[v_number], false, 'test', app.new_id());
            update tests.lives as l set recall_ids[v_number] = v_recall_id where l.id = (life).id;
            return (select r.credits - r.missing from ledger.recalls as r where r.book_id = (life).user_id and r.id = v_recall_id);
    end case;
end;
$$;

create function tests.expect_step(life tests.lives, step text, out answer bigint, out after tests.lives)
language plpgsql immutable
as $$
declare
    v_verb constant text := split_part(expect_step.step, ' ', 1);
    v_number constant integer := nullif(split_part(expect_step.step, ' ', 2), '');
    v_payment constant integer := (life).payments[v_number];
    v_is_open constant boolean := (life).recall_states[v_number] = 'frozen';
begin
    after := life;
    answer := 1;
    case v_verb
        when 'capture' then
            -- What is frozen of it goes with it, and is taken from the platform later.
            after.state := 'captured';
            answer := life.drawn[1] + life.drawn[2]
                + case when life.recall_states[1] = 'frozen' then life.from_sales[1] else 0 end
                + case when life.recall_states[2] = 'frozen' then life.from_sales[2] else 0 end;
        when 'release' then
            after.state := 'released';
            after.unspent := array[life.unspent[1] + life.drawn[1], life.unspent[2] + life.drawn[2]];
            after.drawn := '{0,0}';
            answer := life.drawn[1] + life.drawn[2];
        when 'freeze' then
            after.recall_states[v_number] := 'frozen';
            after.from_wallet[v_number] := least(life.credits[v_number], life.unspent[v_payment]);
            after.from_sales[v_number] := least(
                life.credits[v_number] - after.from_wallet[v_number], life.drawn[v_payment]);
            answer := after.from_wallet[v_number] + after.from_sales[v_number];
            after.unspent[v_payment] := life.unspent[v_payment] - after.from_wallet[v_number];
            after.drawn[v_payment] := life.drawn[v_payment] - after.from_sales[v_number];
        when 'settle' then
            after.recall_states[v_number] := 'final';
        when 'undo' then
            after.recall_states[v_number] := case when v_is_open then 'released' else 'returned' end;
            after.unspent[v_payment] := life.unspent[v_payment] + life.from_wallet[v_number];
            if v_is_open and life.state <> 'released' then
                after.drawn[v_payment] := life.drawn[v_payment] + life.from_sales[v_number];
            else
                after.unspent[v_payment] := after.unspent[v_payment] + life.from_sales[v_number];
            end if;
    end case;
end;
$$;

-- What was planned for a few rows would take seconds for thousands.
create function tests.count_rows()
returns void
language plpgsql volatile
as $$
begin
    analyze ledger.transfers, ledger.lots, ledger.draws, ledger.recalls, ledger.recall_lines, ledger.reservations;
end;
$$;

-- Lets everybody do one more step, twice if that must change nothing; whose answer was wrong.
create function tests.go_on(number integer)
returns setof text
language plpgsql volatile
as $$
declare
    v_life tests.lives;
    v_step text;
    v_expected record;
    v_after tests.lives;
    v_answer bigint;
    v_again bigint;
begin
    for v_life in select l.* from tests.lives as l where cardinality(l.steps) >= go_on.number order by l.id loop
        v_step := v_life.steps[go_on.number];
        v_expected := tests.expect_step(v_life, v_step);
        v_after := v_expected.after;
        v_answer := tests.do_step(v_life, v_step);
        v_again := case
            when v_step like 'freeze%' then 0
            when v_step in ('capture', 'release')
                then tests.do_step(v_life, 'capture') + tests.do_step(v_life, 'release')
            else tests.do_step(v_life, v_step)
        end;
        if (v_answer, v_again) is distinct from (v_expected.answer, 0::bigint) then
            return next format(
                '%s of %s: %s, then %s, and not %s', v_step, v_life.steps, v_answer, v_again, v_expected.answer);
        end if;
        update tests.lives as l
        set state = v_after.state, unspent = v_after.unspent, drawn = v_after.drawn,
            from_wallet = v_after.from_wallet, from_sales = v_after.from_sales,
            recall_states = v_after.recall_states
        where l.id = v_life.id;
    end loop;
    perform tests.count_rows();
end;
$$;

-- Whose credits are not where they should be; every credit is worth five cents wherever it is.
create view tests.misplaced as
select e.id, e.steps, e.payments, e.credits, e.money as expected, a.money
from (
    select l.id, l.user_id, l.steps, l.payments, l.credits,
        array[
            f.unspent, f.frozen, case l.state when 'captured' then 0 else f.sold end,
            case l.state when 'captured' then f.sold else 0 end, -(f.unspent + f.frozen + f.sold)]::bigint[] as money
    from tests.lives as l
    cross join lateral (
        select l.unspent[1] + l.unspent[2] as unspent,
            coalesce(sum(r.from_wallet) filter (where r.state = 'frozen'), 0) as frozen,
            l.drawn[1] + l.drawn[2] + coalesce(sum(r.from_sales) filter (where r.state = 'frozen'), 0) as sold
        from unnest(l.from_wallet, l.from_sales, l.recall_states) as r (from_wallet, from_sales, state)
    ) as f
) as e
inner join (
    select t.book_id,
        array[
            sum(m.amount) filter (where m.kind = 'wallet'), sum(m.amount) filter (where m.kind = 'frozen_credits'),
            sum(m.amount) filter (where m.kind = 'reserved'), sum(m.amount) filter (where m.kind = 'redeemed'),
            sum(m.amount) filter (where m.kind = 'issued')]::bigint[] as money
    from ledger.transfers as t
    cross join lateral (values (t.debit_kind, -t.amount), (t.credit_kind, t.amount)) as m (kind, amount)
    group by t.book_id
) as a on a.book_id = e.user_id
where array_replace(a.money, null, 0) <> e.money
    or exists (
        select from ledger.lots as o
        where o.book_id = e.user_id and o.paid_microdollars <> o.credits * 50000);

update tests.lives as l set transaction_id = tests.begin_life(l);
select count_rows();
select is((select count(*) from tests.lives), 580::bigint, 'there are 580 orders');
select is_empty('select * from tests.misplaced', 'every life begins with two unspent credits and five that are set aside');
select is_empty('select * from ledger.verify()', 'and verify agrees');
select t.line
from generate_series(1, 7) as s (number)
cross join lateral (values
    (is_empty(format('select * from tests.go_on(%s)', s.number), format('step %s of every life does what it should', s.number))),
    (is_empty('select * from tests.misplaced', format('step %s: every credit is where it should be', s.number))),
    (is_empty('select * from ledger.verify()', format('step %s: verify agrees', s.number)))
) as t (line);

select * from finish();
rollback;
