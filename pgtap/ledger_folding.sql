-- ledger: folded totals, balances in the past, restores and partitions (K2, K3).
begin;
\ir helpers.psql
\ir alone.psql
select plan(61);

select create_person('reader'), create_person('creator');
select give('reader', 1000);
select note('sale', (spend('reader', 10, '{creator}')).transaction_id::text);
select spend('reader', 20, '{creator}');

-- One transaction is never settled for itself, so its rows are given the age of an earlier one.
create function tests.settle()
returns void
language sql volatile
as $$
    select tests.tamper('update ledger.transfers set position = 1 where position > 0');
    update ledger.fold_state set position = 0, totals_position = 0;
$$;

create view tests.figures as
select
    tests.balance('creator', 'earnings') as earnings,
    ledger.balance(ledger.platform_id(), 'royalties') as royalties,
    ledger.balance(ledger.platform_id(), 'issued') as issued,
    ledger.balance(ledger.platform_id(), 'redeemed') as redeemed,
    ledger.lifetime_earned(tests.user_id('creator')) as lifetime,
    tests.balance('reader') as wallet,
    (select sum(m.microdollars)::bigint from ledger.earning_months(tests.user_id('creator')) as m) as months;

-- Folding -------------------------------------------------------------------------------------

select is(ledger.fold(), 0::bigint, 'K3: what is not final yet is not folded');
select results_eq(
    'select * from tests.figures',
    $$ values (1050000::bigint, -1050000::bigint, -1000::bigint, 30::bigint, 1050000::bigint, 970::bigint, 1050000::bigint) $$,
    'K3: and counts all the same');
select set_eq(
    format('select kind, balance, credited from ledger.open_totals(%s, %s)', p.position, p.position + 1),
    $$ values
        ('earnings', 1050000::bigint, 1050000::bigint), ('royalties', -1050000, 0),
        ('issued', -1000, 0), ('redeemed', 30, 30) $$,
    'K3: the totals of what moved on the open accounts')
from (select max(t.position) as position from ledger.transfers as t) as p;
select is_empty(
    format('select * from ledger.open_totals(%s, %s)', p.position + 1, p.position + 1000),
    'K3: between two positions, the first included and the last not')
from (select max(t.position) as position from ledger.transfers as t) as p;
select ok(
    (select min(t.position) >= ledger.settled_position() from ledger.transfers as t),
    'K3: a running transaction keeps its movements above the fold');

select settle();
select is(ledger.fold(), 4::bigint, 'K3: final ones are folded into four accounts');
select set_eq(
    'select kind, balance, credited from ledger.accounts where not is_guarded',
    $$ values
        ('earnings', 1050000::bigint, 1050000::bigint), ('royalties', -1050000, 0),
        ('issued', -1000, 0), ('redeemed', 30, 30) $$,
    'K3: which then hold them');
select results_eq(
    'select * from tests.figures',
    $$ values (1050000::bigint, -1050000::bigint, -1000::bigint, 30::bigint, 1050000::bigint, 970::bigint, 1050000::bigint) $$,
    'K2: no balance changes by being folded');
select is(ledger.fold(), 0::bigint, 'K3: a second fold finds nothing');
select is_empty('select * from ledger.verify()', 'K3: the totals hold what lies below the fold');

select ledger.reverse(user_id('reader'), noted('sale')::uuid, 4);
select spend('reader', 1, '{creator}');
select results_eq(
    'select * from tests.figures',
    $$ values (945000::bigint, -945000::bigint, -1000::bigint, 27::bigint, 945000::bigint, 973::bigint, 945000::bigint) $$,
    'K2: what came after the fold is added to it');
select tamper('update ledger.transfers set position = 2 where position > 1');
update ledger.fold_state set position = 2, totals_position = 2;
select is(ledger.fold(), 3::bigint, 'K3: the next fold takes the accounts that moved');
select results_eq(
    'select * from tests.figures',
    $$ values (945000::bigint, -945000::bigint, -1000::bigint, 27::bigint, 945000::bigint, 973::bigint, 945000::bigint) $$,
    'K2: and changes no balance either');
select results_eq(
    $$ select balance, credited from ledger.accounts where kind = 'earnings' $$,
    $$ values (945000::bigint, 1085000::bigint) $$,
    'K3: beside the balance it keeps what came in');
select is_empty('select * from ledger.verify()', 'K3: the totals hold what lies below the fold');

-- A restore into a cluster whose transaction numbers start lower --------------------------------

update ledger.fold_state set position = 1000000000000000;
select spend('reader', 2, '{creator}');
select is(ledger.folded_position(), -1::bigint, 'a fold from the future is not trusted');
select results_eq(
    'select * from tests.figures',
    $$ values (1015000::bigint, -1015000::bigint, -1000::bigint, 29::bigint, 1015000::bigint, 971::bigint, 1015000::bigint) $$,
    'K2: balances are then summed from the movements');
select results_eq(
    'select check_name from ledger.verify()', array['restored'], 'K8: and verify says what to do');

select lives_ok('select ledger.fold()', 'the next fold starts anew');
select results_eq(
    'select * from tests.figures',
    $$ values (1015000::bigint, -1015000::bigint, -1000::bigint, 29::bigint, 1015000::bigint, 971::bigint, 1015000::bigint) $$,
    'K2: with the same balances');
select is(
    (select s.position_offset from ledger.fold_state as s), (select max(t.position) + 1 from ledger.transfers as t),
    'positions go on above those that exist');
select is_empty('select * from ledger.verify()', 'K8: all is well again');
select spend('reader', 3, '{creator}');
select ok(
    (select bool_and(t.position >= s.position) from ledger.transfers as t, ledger.fold_state as s where t.credits = 3),
    'a later sale lies above the fold');
select is(balance('creator', 'earnings'), 1120000::bigint, 'K2: and is counted');
select lives_ok('select ledger.fold()', 'another fold');
select is(balance('creator', 'earnings'), 1120000::bigint, 'K2: does not lose it');
update ledger.fold_state set position = 1000000000000000;
select lives_ok('select ledger.fold()', 'a second restore');
select is(balance('creator', 'earnings'), 1120000::bigint, 'K2: keeps the balance, too');
select spend('reader', 1, '{creator}');
select is(balance('creator', 'earnings'), 1155000::bigint, 'K2: and counts what comes after it');
select is_empty('select * from ledger.verify()', 'K8: all is well');

-- Balances in the past ------------------------------------------------------------------------

select tamper($$
    update ledger.transfers as t set created_at = timestamptz '2026-01-01 00:00+00' + n.place * interval '1 day'
    from (select o.id, dense_rank() over (order by o.transaction_id) as place from ledger.transfers as o) as n
    where n.id = t.id $$);
-- The months of these sales are others now.
select ledger.forget_earning_totals();
select is(
    array[
        ledger.balance_at(user_id('reader'), 'wallet', at), ledger.balance_at(user_id('creator'), 'earnings', at),
        ledger.balance_at(ledger.platform_id(), 'redeemed', at)],
    figures, format('K2: at %s', at))
from (values
    ('-infinity'::timestamptz, array[0, 0, 0]::bigint[]),
    ('2026-01-01 23:59:59.999999+00', array[0, 0, 0]),
    ('2026-01-02 00:00+00', array[1000, 0, 0]),
    ('2026-01-03 00:00+00', array[990, 350000, 10]),
    ('2026-01-04 12:00+00', array[970, 1050000, 30]),
    ('2026-01-05 12:00+00', array[974, 910000, 26]),
    ('infinity', array[967, 1155000, 33])
) as past (at, figures);
select is(ledger.balance_at(user_id('creator'), 'earnings', null), 0::bigint, 'K2: at no time there is nothing');
select is(
    ledger.balance_at(user_id('stranger'), 'wallet', 'infinity') + ledger.balance(user_id('stranger'), 'wallet')
    + ledger.balance(user_id('stranger'), 'earnings') + ledger.lifetime_earned(user_id('stranger')),
    0::bigint, 'K2: an account that was never used has nothing');

-- Partitions ----------------------------------------------------------------------------------

create function tests.month(ahead integer)
returns text
language sql stable
return to_char(now() at time zone 'UTC' + make_interval(months => ahead), '"transfers_"YYYY_MM');

select has_table('ledger', month(ahead), format('the partition of the month %s ahead is there', ahead))
from generate_series(0, 3) as ahead;
select hasnt_table('ledger', month(4), 'and no more of them');
select is(ledger.ensure_partitions(), 0, 'making them again makes none');
select is(ledger.ensure_partitions(5), 2, 'further ones are made when asked for');
select is(ledger.ensure_partitions(-1), 0, 'asking for none makes none');
set local time zone 'America/Los_Angeles';
select is(ledger.ensure_partitions(15), 10, 'months are those of UTC, whatever the session''s time zone');
set local time zone 'Pacific/Kiritimati';
select is(ledger.ensure_partitions(27), 12, 'on the other side of the world, too');
set local time zone 'UTC';
select is(
    (select count(*) from generate_series(0, 27) as ahead where to_regclass('ledger.' || month(ahead)) is null),
    0::bigint, 'none is left out');
select is(ledger.ensure_partitions(27), 0, 'and none is missing in UTC');
select is_empty(
    $$ select c.relname from pg_catalog.pg_class as c inner join pg_catalog.pg_inherits as i on i.inhrelid = c.oid
    where i.inhparent = 'ledger.transfers'::regclass
        and (not c.relrowsecurity or c.relowner <> 'app_owner'::regrole or obj_description(c.oid) is null) $$,
    'each is owned, guarded and documented like the others');
select is_empty(
    $$ select r.rolname, i.inhrelid::regclass from pg_catalog.pg_inherits as i
    cross join pg_catalog.pg_roles as r
    where i.inhparent = 'ledger.transfers'::regclass
        and r.rolname in ('anon', 'authenticated', 'service_role', 'edge')
        and has_table_privilege(r.oid, i.inhrelid, 'select') $$,
    'and read by nobody directly');
select is(
    array[ledger.id_floor('1970-01-01 00:00+00'), ledger.id_floor('2026-11-01 00:00+00'), ledger.id_floor('2026-11-01 01:00+01')],
    array['00000000-0000-0000-0000-000000000000', '01a19467-e800-0000-0000-000000000000', '01a19467-e800-0000-0000-000000000000']::uuid[],
    'an id begins with its millisecond');
select ok(
    app.new_id() between ledger.id_floor(clock_timestamp() - interval '1 second')
    and ledger.id_floor(clock_timestamp() + interval '1 second'), 'so that a new id lies in its month');
select is(
    (select count(*) from (select n.id, lag(n.id) over (order by n.place) as before
        from (select app.new_id() as id, s as place from generate_series(1, 1000) as s) as n) as o where o.id <= o.before),
    0::bigint, 'and after those made before it');
select results_eq(
    $$ select distinct tableoid::regclass::text from ledger.transfers $$, array['ledger.' || month(0)],
    'movements of this month lie in its partition');

select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select give('reader', 1);
select tamper(format(
    $$ update ledger.transfers set id = %L where kind = 'grant' and amount = 1 $$,
    ledger.id_floor((date_trunc('month', now() at time zone 'UTC') + interval '40 months') at time zone 'UTC')));
select results_eq(
    'select check_name, detail from ledger.verify()',
    $$ values (
        'default_partition', '1 movements have no partition of their own: run ledger.ensure_partitions() ahead of time') $$,
    'K8: what has no partition is an alert');
select lives_ok('select ledger.ensure_partitions(42)', 'and is no obstacle for the months around it');
select ok(
    to_regclass('ledger.' || month(40)) is null and to_regclass('ledger.' || month(41)) is not null,
    'its own month stays where it is');

select * from finish();
rollback;
