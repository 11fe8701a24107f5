-- ledger: months begin at midnight in the business time zone, whoever asks or folds (case 8).
begin;
\ir helpers.psql
\ir alone.psql
\ir earning_totals.psql
select plan(21);

select create_person('reader');
select give('reader', 1000, 'purchase', paid_microdollars => 40000000);

create temporary table midnights (
    place text, zone text, what text, last_moment timestamptz, month text, next_month text);
insert into midnights values
    ('one', 'UTC', 'UTC', '2026-10-31 23:59:59.9Z', '2026-10', '2026-11'),
    ('two', 'Europe/Berlin', 'winter in the north', '2026-02-28 22:59:59.9Z', '2026-02', '2026-03'),
    ('three', 'Europe/Berlin', 'summer in the north', '2026-06-30 21:59:59.9Z', '2026-06', '2026-07'),
    ('four', 'America/New_York', 'the day that ends summer in New York', '2026-11-01 03:59:59.9Z', '2026-10', '2026-11'),
    ('five', 'Pacific/Auckland', 'summer in the south', '2026-03-31 10:59:59.9Z', '2026-03', '2026-04'),
    ('six', 'Pacific/Auckland', 'winter in the south', '2026-06-30 11:59:59.9Z', '2026-06', '2026-07'),
    ('seven', 'Australia/Lord_Howe', 'half an hour of summer', '2026-10-31 12:59:59.9Z', '2026-10', '2026-11'),
    ('eight', 'Australia/Lord_Howe', 'winter beside it', '2026-07-31 13:29:59.9Z', '2026-07', '2026-08'),
    ('nine', 'America/Asuncion', 'a month that begins at one', '2017-10-01 03:59:59.9Z', '2017-09', '2017-10'),
    ('ten', 'America/Havana', 'a day with two midnights', '2026-11-01 03:59:59.9Z', '2026-10', '2026-11'),
    ('eleven', 'Pacific/Kiritimati', 'where the year begins first', '2026-12-31 09:59:59.9Z', '2026-12', '2027-01'),
    ('twelve', 'Pacific/Pago_Pago', 'where it begins last', '2027-01-01 10:59:59.9Z', '2026-12', '2027-01'),
    ('thirteen', 'Asia/Kathmandu', 'quarters of an hour', '2028-02-29 18:14:59.9Z', '2028-02', '2028-03');

create function tests.sell_at(creator text, at timestamptz)
returns bigint
language sql volatile
as $$
    select tests.tamper(format(
        'update ledger.transfers set created_at = %L where transaction_id = %L',
        at, (tests.spend('reader', 1, array[creator])).transaction_id));
$$;
comment on function tests.sell_at(text, timestamptz) is 'A sale whose transaction began then.';

create function tests.months_seen(creator text)
returns setof text
language plpgsql volatile
as $$
declare
    v_zone text;
begin
    foreach v_zone in array array['UTC', 'America/Los_Angeles', 'Pacific/Kiritimati', 'Asia/Tokyo', 'America/Havana'] loop
        perform set_config('timezone', v_zone, true), set_config('datestyle', 'German, DMY', true);
        return query
            select string_agg(format('%s sold %s', to_char(m.month, 'YYYY-MM'), m.movements), ', ' order by m.month)
            from ledger.earning_months(tests.user_id(months_seen.creator)) as m;
    end loop;
    perform set_config('timezone', 'UTC', true), set_config('datestyle', 'ISO', true);
end;
$$;
comment on function tests.months_seen(text) is 'A creator''s months, as sessions all over the world see them.';

create function tests.months_at_midnight(place text, last_moment timestamptz, fold_zone text)
returns text[]
language plpgsql volatile
as $$
declare
    v_seen text[];
begin
    perform tests.create_person(months_at_midnight.place);
    perform tests.sell_at(months_at_midnight.place, months_at_midnight.last_moment);
    perform tests.sell_at(months_at_midnight.place, months_at_midnight.last_moment + interval '100 milliseconds');
    v_seen := array(select tests.months_seen(months_at_midnight.place));
    perform set_config('timezone', months_at_midnight.fold_zone, true);
    perform tests.let_pass();
    return array(
        select distinct s.months from unnest(v_seen || array(select tests.months_seen(months_at_midnight.place))) as s (months));
end;
$$;

create function tests.midnights_hold()
returns setof text
language plpgsql volatile
as $$
declare
    v_midnight record;
begin
    for v_midnight in select m.*, row_number() over (order by m.ctid) as number from midnights as m loop
        update app.economy set business_time_zone = v_midnight.zone;
        return next is(
            tests.months_at_midnight(
                v_midnight.place, v_midnight.last_moment,
                case v_midnight.number % 2 when 0 then 'Pacific/Kiritimati' else 'America/Los_Angeles' end),
            array[format('%s sold 1, %s sold 1', v_midnight.month, v_midnight.next_month)],
            format('case 8: %s: 23:59:59.9 is the old month, whichever session asks or folds', v_midnight.what));
    end loop;
end;
$$;
select tests.midnights_hold();
select is_empty('select tests.wrong_months()', 'case 8: all other months are right in the last of these zones, too');

-- Another zone is another set of months.
update app.economy set business_time_zone = 'UTC';
select is_empty('select * from ledger.earning_totals', 'case 8: where the zone changes, the totals are forgotten');
select is_empty('select tests.wrong_months()', 'case 8: and read from the movements');
select is_empty('select * from ledger.verify()', 'K8: which verify knows');
select ledger.fold();
select set_eq('select * from tests.totals_kept', 'select * from tests.movements_by_month', 'case 8: the next fold sums the new months');
select is(
    (select array_agg(to_char(m.month, 'YYYY-MM') order by m.month) from ledger.earning_months(user_id('five')) as m),
    array['2026-03'], 'case 8: what were two months in Auckland is one in UTC');
create temporary table totals as select *, ctid::text as place from ledger.earning_totals;
update app.economy set business_time_zone = 'UTC', payout_day = 9;
select set_eq('select *, ctid::text as place from ledger.earning_totals', 'select * from totals', 'the same zone again changes nothing');

select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
