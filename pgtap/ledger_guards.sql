-- ledger: what the tables refuse, whoever asks, and what a movement must look like (K1, K2, K3).
begin;
\ir helpers.psql
\ir alone.psql
select plan(81);

select create_person('reader'), create_person('creator');
select give('reader', 100);
select publish_story('creator', 4);
select buy('reader', story_id(), 'chapter', '{3}', 'first');

-- What comes of a statement, which is then undone: refused, named by verify, or nothing at all.
create function tests.outcome(statement text)
returns text
language plpgsql volatile
as $$
declare
    v_outcome text;
begin
    begin
        execute outcome.statement;
        v_outcome := coalesce(
            (select 'named by verify: ' || string_agg(v.check_name, ', ') from ledger.verify() as v), 'unnoticed');
        raise exception using errcode = 'UNDO0';
    exception
        when sqlstate 'UNDO0' then
            return v_outcome;
        when others then
            return format('refused: %s %s', sqlstate, sqlerrm);
    end;
end;
$$;

-- Money records only grow ---------------------------------------------------------------------

create temporary table only_grow as
select t.name
from (values
    ('ledger.transfers'), ('ledger.draws'), ('ledger.requests'), ('ledger.seals'),
    ('app.audit_log'), ('app.story_purchases')
) as t (name);
grant select on only_grow to public;
-- A row in each of them: what is to be sealed must be older than this transaction.
select tamper('update ledger.transfers set position = 1');
update ledger.fold_state set position = 0, totals_position = 0;
select ledger.seal();
select app.audit('try', null);

set local role app_owner;
select alike(
    outcome(format('update %s set %I = %I', t.name, a.attname, a.attname)),
    'refused: PT403 Rows of % are never changed or removed.', format('K1: the owner cannot update %s', t.name))
from only_grow as t
inner join pg_catalog.pg_attribute as a on a.attrelid = t.name::regclass and a.attnum = 1;
select alike(
    outcome(format('delete from %s', t.name)),
    'refused: PT403 Rows of % are never changed or removed.', format('K1: nor delete from %s', t.name))
from only_grow as t;
select is(
    outcome(format('truncate %s', t.name)),
    format('refused: PT403 Rows of %s are never changed or removed.', t.name), format('K1: nor truncate %s', t.name))
from only_grow as t;
select is(
    outcome(format('truncate %s', p.name)),
    format('refused: PT403 Rows of %s are never changed or removed.', p.name), format('K1: nor %s', what))
from (values
    ('the partition of this month', to_char(now() at time zone 'UTC', '"ledger.transfers_"YYYY_MM')),
    ('the default partition', 'ledger.transfers_default')
) as p (what, name);
select alike(
    outcome(statement), 'refused: PT403 Rows of ledger.% are never changed or removed.',
    format('K1: the owner cannot %s', what))
from (values
    ('delete accounts', 'delete from ledger.accounts'), ('truncate accounts', 'truncate ledger.accounts'),
    ('delete lots', 'delete from ledger.lots'), ('truncate lots', 'truncate ledger.lots'),
    ('merge draws away', $$ merge into ledger.draws as d using ledger.lots as l on l.id = d.lot_id when matched then delete $$),
    ('insert over draws', $$ insert into ledger.draws select d.* from ledger.draws as d
        on conflict on constraint draws_pkey do update set credits = 1 $$)
) as refused (what, statement);
reset role;

select authenticate_as('reader');
select throws_ok(
    format('%s %s', verb, name), '42501', format('permission denied for schema %s', split_part(name, '.', 1)),
    format('K1: a person cannot %s %s', verb, name))
from only_grow
cross join (values ('truncate'), ('delete from')) as v (verb);
select authenticate_as_service('admin');
select throws_ok(
    $$ update api.transfers set balance_after = 1 $$, '42501', 'permission denied for view transfers',
    'K1: the service role cannot change a movement through its view');
reset role;
select is_empty(
    $$ select r.role, c.oid::regclass, p.privilege
    from pg_catalog.pg_class as c
    inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    cross join (values ('anon'), ('authenticated'), ('service_role'), ('authenticator'), ('edge')) as r (role)
    cross join (values ('insert'), ('update'), ('delete'), ('truncate')) as p (privilege)
    where n.nspname in ('ledger', 'app', 'api') and c.relkind in ('r', 'p', 'v')
        and has_table_privilege(r.role, c.oid, p.privilege) $$,
    'K1: no role outside may write any table');
select is_empty(
    $$ select r.role, p.oid::regprocedure
    from pg_catalog.pg_proc as p
    cross join (values ('anon'), ('authenticated'), ('service_role'), ('authenticator'), ('edge')) as r (role)
    where p.pronamespace = 'ledger'::regnamespace and p.provolatile = 'v'
        and has_function_privilege(r.role, p.oid, 'execute') $$,
    'K1: nor call a function of the ledger that writes');

-- A movement is balanced by its shape (K1) ----------------------------------------------------

select is(
    refusal(format(
        $$ select ledger.post(%L, app.new_id(), array[ledger.posting(
            'earning', %L, ledger.platform_id(), %L, %L, %L, 5, null, null)]) $$,
        user_id('reader'), p.asset, p.debit_kind, user_id('reader'), p.credit_kind)),
    format('PT422 mixed_assets: Both accounts of a movement hold its asset. %s from %s to %s', p.asset, p.debit_kind, p.credit_kind),
    format('K1: %s cannot move from %s to %s', p.asset, p.debit_kind, p.credit_kind))
from (values ('credit', 'issued', 'earnings'), ('usd', 'royalties', 'pocket')) as p (asset, debit_kind, credit_kind);

create function tests.movement(changes jsonb)
returns text
language sql volatile
return tests.outcome(format(
    $$ insert into ledger.transfers select m.*
    from jsonb_populate_record((select t from ledger.transfers as t where t.kind = 'spend'), %L) as m $$,
    jsonb_build_object('id', app.new_id(), 'position', pg_current_xact_id()::text::bigint) || changes));

select alike(tests.movement(changes::jsonb), refusal, format('K1: a movement with %s is refused', what))
from (values
    ('an amount of nothing', '{"amount": 0}', 'refused: 23514%amount_positive%'),
    ('a negative amount', '{"amount": -1}', 'refused: 23514%amount_positive%'),
    ('no amount', '{"amount": null}', 'refused: 23502%"amount"%'),
    ('a fraction', '{"amount": 0.5}', 'refused: 22P02%bigint: "0.5"%'),
    ('an amount that is no number', '{"amount": "NaN"}', 'refused: 22P02%bigint: "NaN"%'),
    ('text for an amount', '{"amount": "ten"}', 'refused: 22P02%bigint: "ten"%'),
    ('an amount that does not fit', '{"amount": 9223372036854775808}', 'refused: 22003%out of range%'),
    ('a kind that does not exist', '{"kind": "gift"}', 'refused: 23514%kind%'),
    ('no kind', '{"kind": null}', 'refused: 23502%"kind"%'),
    ('no asset', '{"asset": null}', 'refused: 23502%"asset"%'),
    ('no account', '{"debit_owner_id": null}', 'refused: 23502%"debit_owner_id"%'),
    ('no book', '{"book_id": null}', 'refused: 23502%"book_id"%')
) as wrong (what, changes, refusal);

-- From the platform, so that wallets and lots have nothing to say about it.
select is(
    tests.movement(jsonb_build_object(
        'transaction_id', app.new_id(), 'kind', 'grant', 'debit_owner_id', ledger.platform_id(),
        'debit_kind', 'issued', 'balance_after', null, 'reference_type', null)), 'unnoticed',
    'K1: the platform may move credits between its own accounts');
select isnt(
    tests.movement(
        jsonb_build_object(
            'transaction_id', app.new_id(), 'kind', 'grant', 'debit_owner_id', ledger.platform_id(),
            'debit_kind', 'issued', 'balance_after', null, 'reference_type', null) || changes::jsonb), 'unnoticed',
    format('K1: a movement of %s is refused, or named by verify', what))
from (values
    ('credits into dollars', '{"credit_kind": "earnings"}'),
    ('dollars between accounts of credits', '{"asset": "usd"}'),
    ('an asset that does not exist', '{"asset": "gold"}'),
    ('credits into an account that does not exist', '{"credit_kind": "pocket"}'),
    ('credits from an account to itself', '{"credit_kind": "issued"}')
) as wrong (what, changes);

select alike(tests.outcome(statement), refused, format('K1: %s', what))
from (values
    ('selling for nothing is refused', $$ select spend('reader', 0) $$, 'refused: 23514%amount_positive%'),
    ('selling for less than nothing is refused', $$ select spend('reader', -5) $$, 'refused: 23514%'),
    ('selling for null is refused', $$ select spend('reader', null) $$, 'refused: %'),
    ('giving nothing is refused', $$ select give('reader', 0) $$, 'refused: 23514%amount%'),
    ('giving less than nothing is refused', $$ select give('reader', -5) $$, 'refused: 23514%'),
    ('giving null is refused', $$ select give('reader', null) $$, 'refused: 23502%'),
    ('giving from nowhere is refused', $$ select give('reader', 5, 'spend') $$, 'refused: 23514%source%'),
    ('an account of an unknown kind is refused',
        $$ select ledger.open_account(user_id('reader'), 'pocket') $$, 'refused: 23502%"asset"%'),
    ('a wallet cannot overflow',
        $$ select give('reader', 9223372036854775807) $$, 'refused: 22003%bigint out of range%'),
    ('an earning cannot overflow',
        $$ select give('reader', 9000000000000000); select spend('reader', 9000000000000000, '{creator}') $$,
        'refused: 22003%bigint out of range%'),
    ('a wallet cannot go below zero, whoever posts',
        $$ select ledger.post(
            user_id('reader'), app.new_id(),
            array[ledger.posting(
                'spend', 'credit', user_id('reader'), 'wallet', ledger.platform_id(), 'redeemed', 96, 'test', null)]) $$,
        'refused: 23514%accounts_never_below_zero%')
) as wrong (what, statement, refused);
select isnt(
    tests.outcome($$ select give('reader', 5, paid_microdollars => -1) $$), 'unnoticed',
    'K1: a lot that was paid for with less than nothing is refused, or named by verify');
select is(balance('reader'), 95::bigint, 'K1: none of this moved anything');

-- One source of truth, no hot rows (K2, K3) ---------------------------------------------------

select results_eq(
    format(
        $$ select a.balance, (select sum(l.remaining)::bigint from ledger.lots as l where l.book_id = a.owner_id)
        from ledger.accounts as a where a.owner_id = %L $$, user_id('reader')),
    $$ values (95::bigint, 95::bigint) $$,
    'K2: the wallet and its lots say the same');
select is(
    (select array_agg(t.balance_after order by t.id) from ledger.transfers as t where t.asset = 'credit'),
    array[100, 95]::bigint[], 'K2: each movement notes the balance it left');
select is(
    balance('reader') + ledger.balance(ledger.platform_id(), 'issued')
    + ledger.balance(ledger.platform_id(), 'redeemed') + ledger.balance(ledger.platform_id(), 'expired'),
    0::bigint, 'K2: all credits together are zero');
select is(
    balance('creator', 'earnings') + ledger.balance(ledger.platform_id(), 'royalties'), 0::bigint,
    'K2: and so are all dollars');

insert into ledger.accounts (owner_id, kind, asset, is_guarded)
select owner_id, kind, ledger.asset_of(kind), false
from (values
    (user_id('creator'), 'earnings'), (ledger.platform_id(), 'royalties'), (ledger.platform_id(), 'redeemed')
) as o (owner_id, kind);
create temporary table before_sale as
select a.owner_id, a.kind, format('%s', a.ctid) as place from ledger.accounts as a where not a.is_guarded;
select buy('reader', story_id(), 'chapter', '{4}');
select is(balance('creator', 'earnings'), 350000::bigint, 'K3: a sale counts for its creator at once');
select set_eq(
    $$ select owner_id, kind, format('%s', ctid) from ledger.accounts where not is_guarded $$, 'select * from before_sale',
    'K3: and touches no row of the creator or the platform');

select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
