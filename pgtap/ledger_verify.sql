-- ledger: verify names every kind of violation, seals notice every change (K8, K9).
begin;
\ir helpers.psql
\ir alone.psql
select plan(63);

select create_person('reader'), create_person('creator'), create_person('partner');
select give('reader', 100, 'purchase', paid_microdollars => 4990000);
select note('sale', (spend('reader', 10, '{creator,partner}', '{6000,4000}')).transaction_id::text);
select ledger.reverse(user_id('reader'), noted('sale')::uuid, 4);

-- What verify says after a statement that nobody could run, which is then undone:
-- handles for ids where there are some, # for the other ids.
create function tests.violations_of(statement text)
returns setof text
language plpgsql volatile
as $$
declare
    v_found text[];
begin
    begin
        perform tests.tamper(violations_of.statement);
        v_found := array(
            select
                regexp_replace(
                    replace(replace(replace(
                        format('%s %s: %s', v.check_name, v.subject, v.detail),
                        tests.user_id('reader')::text, 'reader'),
                        tests.user_id('creator')::text, 'creator'),
                        ledger.platform_id()::text, 'platform'),
                    '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '#', 'g')
            from ledger.verify() as v);
        raise exception using errcode = 'UNDO0';
    exception
        when sqlstate 'UNDO0' then null;
    end;
    return query select f.line from unnest(v_found) as f (line) order by f.line;
end;
$$;

select is_empty('select * from ledger.verify()', 'K8: at first all is well');

-- Every check, one by one (K8) ----------------------------------------------------------------

select is(
    array(select v from tests.violations_of(statement) as v where v = any (violations)), violations,
    format('K8: %s', what))
from (values
    ('a wallet with a credit too many',
        $$ update ledger.accounts set balance = balance + 1 where kind = 'wallet' and balance > 0 $$,
        array[
            'guarded_balance reader wallet: the account says 95, its movements 94',
            'wallet_lots reader: wallet 95, lots 94']),
    ('a wallet that is gone',
        $$ delete from ledger.accounts where kind = 'wallet' and balance > 0 $$,
        array[
            'guarded_balance reader wallet: the account says nothing, its movements 94',
            'wallet_lots reader: wallet 0, lots 94']),
    ('a folded total that nothing explains',
        $$ insert into ledger.accounts (owner_id, kind, asset, is_guarded, balance)
        values (tests.user_id('creator'), 'earnings', 'usd', false, 5) $$,
        array['open_balance creator earnings: folded 5, movements below the fold 0']),
    ('lifetime earnings that nothing explains',
        $$ insert into ledger.accounts (owner_id, kind, asset, is_guarded, credited)
        values (tests.user_id('creator'), 'earnings', 'usd', false, 5) $$,
        array['open_balance creator earnings: folded 0, movements below the fold 0']),
    ('a movement that the fold passed over',
        $$ update ledger.transfers set position = 0 where kind = 'purchase' $$,
        array['open_balance platform issued: folded 0, movements below the fold -100']),
    ('an account of another asset',
        $$ update ledger.accounts set asset = 'usd' where balance = 94 $$,
        array['account_asset reader wallet: holds usd, guarded t']),
    ('a wallet that may go below zero',
        $$ update ledger.accounts set is_guarded = false where balance = 94 $$,
        array[
            'account_asset reader wallet: holds credit, guarded f',
            'guarded_balance reader wallet: the account says nothing, its movements 94',
            'open_balance reader wallet: folded 94, movements below the fold 0']),
    ('a lot that lost credits',
        $$ update ledger.lots set remaining = remaining - 1 where source = 'purchase' $$,
        array[
            'lot_draws reader lot #: 11 of 100 credits gone, draws say 10',
            'wallet_lots reader: wallet 94, lots 93']),
    ('a draw of another value',
        $$ update ledger.draws set value_microdollars = value_microdollars + 1 $$,
        array['lot_draws reader lot #: 10 of 100 credits gone, draws say 10']),
    ('a draw that is gone',
        $$ delete from ledger.draws $$,
        array[
            'lot_draws reader lot #: 10 of 100 credits gone, draws say 0',
            'transaction_credits reader transaction #: 10 credits out and 0 in, draws 0 and lots 0']),
    ('a draw of another transaction',
        $$ update ledger.draws set transaction_id = app.new_id() $$,
        array[
            'transaction_credits reader transaction #: 0 credits out and 0 in, draws 10 and lots 0',
            'transaction_credits reader transaction #: 10 credits out and 0 in, draws 0 and lots 0']),
    ('a lot from nowhere',
        $$ insert into ledger.lots (book_id, transaction_id, credits, remaining, paid_microdollars, source)
        values (tests.user_id('reader'), app.new_id(), 7, 7, 0, 'grant') $$,
        array[
            'transaction_credits reader transaction #: 0 credits out and 0 in, draws 0 and lots 7',
            'wallet_lots reader: wallet 94, lots 101']),
    ('an earning that is too large',
        $$ update ledger.transfers set amount = amount + 100 where kind = 'earning' and amount > 200000 $$,
        array['earnings_of_sale reader transaction #: creators got 350100 micro-dollars of a sale of 10 credits at 50000']),
    ('an earning that is too small',
        $$ update ledger.transfers set amount = amount - 1 where kind = 'earning' and amount > 200000 $$,
        array['earnings_of_sale reader transaction #: creators got 349999 micro-dollars of a sale of 10 credits at 50000']),
    ('an earning that is gone',
        $$ delete from ledger.transfers
        where kind in ('earning', 'clawback') and tests.user_id('partner') in (debit_owner_id, credit_owner_id) $$,
        array['earnings_of_sale reader transaction #: creators got 210000 micro-dollars of a sale of 10 credits at 50000']),
    ('more than all of it shared out',
        $$ update ledger.transfers set split_basis_points = 6001 where kind = 'earning' and split_basis_points = 6000 $$,
        array['earnings_of_sale reader transaction #: creators got 350000 micro-dollars of a sale of 10 credits at 50000']),
    ('an earning without its sale',
        $$ update ledger.transfers set transaction_id = app.new_id() where kind = 'earning' and split_basis_points = 6000 $$,
        array[
            'earnings_of_sale reader transaction #: creators got 140000 micro-dollars of a sale of 10 credits at 50000',
            'earnings_of_sale reader transaction #: creators got 210000 micro-dollars of a sale of  credits at 50000']),
    ('more taken back than was earned',
        $$ update ledger.transfers set amount = 210001 where kind = 'clawback' and amount = 84000 $$,
        array['reversal reader transfer #: 210001 came back of 210000']),
    ('something taken back that never was',
        $$ update ledger.transfers set reverses_id = app.new_id() where kind = 'clawback' and amount = 84000 $$,
        array['reversal reader transfer #: 84000 came back of a movement that is not there']),
    ('a line of the statement that does not add up',
        $$ update ledger.transfers set balance_after = 91 where kind = 'spend' $$,
        array[
            'balance_after reader: the statement comes to 91 and does not go on',
            'balance_after reader: the statement goes on from 90 and never came there']),
    ('a line of the statement without its balance',
        $$ update ledger.transfers set balance_after = null where kind = 'spend' $$,
        array['balance_after reader: the statement goes on from 90 and never came there']),
    ('a purchase that is gone',
        $$ delete from ledger.transfers where kind = 'purchase' $$,
        array[
            'balance_after reader: the statement goes on from 100 and never came there',
            'guarded_balance reader wallet: the account says 94, its movements -6',
            'transaction_credits reader transaction #: 0 credits out and 0 in, draws 0 and lots 100']),
    ('a movement outside of all months',
        $$ update ledger.transfers set id = '00000000-0000-7000-8000-000000000000' where kind = 'purchase' $$,
        array[
            'default_partition ledger.transfers_default: 1 movements have no partition of their own:'
            ' run ledger.ensure_partitions() ahead of time']),
    ('a restore',
        $$ update ledger.fold_state set position = 1000000000000000 $$,
        array[
            'restored ledger.fold_state: this database was restored into another cluster:'
            ' run `infinite-pages migrate` before the next sale']),
    ('a guard that is off',
        $$ alter table ledger.draws disable trigger tg_draws__append_only $$,
        array['trigger_disabled tg_draws__append_only on ledger.draws: an append-only guard is switched off']),
    ('a guard that replication alone would wake',
        $$ alter table ledger.lots enable replica trigger tg_lots__no_delete $$,
        array['trigger_disabled tg_lots__no_delete on ledger.lots: an append-only guard is switched off'])
) as tampering (what, statement, violations);

select isnt_empty(format('select tests.violations_of(%L)', statement), format('K8: %s is noticed', what))
from (values
    ('a guard that was dropped', 'drop trigger tg_draws__append_only on ledger.draws'),
    ('a guard of one partition that is off',
        format(
            'alter table ledger.%I disable trigger tg_transfers__append_only',
            to_char(now() at time zone 'UTC', '"transfers_"YYYY_MM'))),
    ('a fold state that is gone', 'delete from ledger.fold_state'),
    ('a refund that took nothing back from the creators', $$ delete from ledger.transfers where kind = 'clawback' $$),
    ('a refund that took too little back',
        $$ update ledger.transfers set amount = 1 where kind = 'clawback' and amount = 84000 $$),
    ('earnings moved from one author to the other',
        $$ update ledger.transfers set amount = case split_basis_points when 6000 then 100000 else 250000 end
        where kind = 'earning' $$)
) as tampering (what, statement);
select is_empty('select * from ledger.verify()', 'K8: all of it was undone');

-- Seals (K9) ----------------------------------------------------------------------------------

select is(ledger.seal(), 0::bigint, 'K9: what is not final is not sealed');
-- Six movements of six earlier transactions.
select tamper($$
    update ledger.transfers as t set position = n.place
    from (select o.id, row_number() over (order by o.id) as place from ledger.transfers as o) as n
    where n.id = t.id $$);
update ledger.fold_state set position = 0, totals_position = 0;
select lives_ok('select ledger.fold()', 'K9: sealing and folding do not mind each other');
select is(ledger.seal(2), 4::bigint, 'K9: seven movements make four links of two at most');
select is(ledger.seal(2), 0::bigint, 'K9: and are sealed once');
select results_eq(
    'select number, from_position, to_position, transfers from ledger.seals order by number',
    $$ values (1::bigint, 0::bigint, 3::bigint, 2::bigint), (2, 3, 5, 2), (3, 5, 7, 2), (4, 7, 8, 1) $$,
    'K9: each link begins where the one before ends');
select is_empty(
    $$ select s.number from ledger.seals as s left join ledger.seals as b on b.number = s.number - 1
    where s.chain <> sha256(coalesce(b.chain, '') || s.digest) $$,
    'K9: and hashes it');
select is_empty('select * from ledger.verify()', 'K9: the chain holds');
select authenticate_as_service('admin');
select results_eq(
    'select number, length(digest), length(chain) from api.seals order by number',
    $$ values (1::bigint, 64, 64), (2, 64, 64), (3, 64, 64), (4, 64, 64) $$,
    'K9: an operator can copy the chain');
select authenticate_as('reader');
select throws_ok('select * from api.seals', '42501', 'permission denied for view seals', 'K9: nobody else needs it');
select sign_out();

select ok(
    violations @> array[seal],
    format('K9: %s is noticed', what))
from (values
    ('another amount', $$ update ledger.transfers set amount = amount + 1 where position = 3 $$,
        'seal seal 2: holds 2 movements, sealed were 2: a sealed row was changed, added or removed'),
    ('another creator', $$ update ledger.transfers set credit_owner_id = tests.user_id('partner') where position = 3 $$,
        'seal seal 2: holds 2 movements, sealed were 2: a sealed row was changed, added or removed'),
    ('another time', $$ update ledger.transfers set created_at = created_at - interval '1 microsecond' where position = 7 $$,
        'seal seal 4: holds 1 movements, sealed were 1: a sealed row was changed, added or removed'),
    ('another reference', $$ update ledger.transfers set reference_type = '' where position = 1 $$,
        'seal seal 1: holds 2 movements, sealed were 2: a sealed row was changed, added or removed'),
    ('a movement that is gone', $$ delete from ledger.transfers where position = 5 $$,
        'seal seal 3: holds 1 movements, sealed were 2: a sealed row was changed, added or removed'),
    ('a movement that is new', $$ insert into ledger.transfers
        select (jsonb_populate_record(t, jsonb_build_object('id', app.new_id()))).* from ledger.transfers as t where t.position = 1 $$,
        'seal seal 1: holds 3 movements, sealed were 2: a sealed row was changed, added or removed'),
    ('another digest', $$ update ledger.seals set digest = sha256('') where number = 2 $$,
        'seal seal 2: holds 2 movements, sealed were 2: a sealed row was changed, added or removed'),
    ('another chain', $$ update ledger.seals set chain = sha256('') where number = 2 $$,
        'seal seal 3: the chain is broken before this link'),
    ('a movement and its seal changed together',
        $$ update ledger.transfers set amount = amount + 1 where position = 3;
        update ledger.seals as s set digest = d.digest, chain = sha256(b.chain || d.digest)
        from ledger.digest(3, 5) as d, ledger.seals as b where s.number = 2 and b.number = 1 $$,
        'seal seal 3: the chain is broken before this link'),
    ('a seal that is gone', 'delete from ledger.seals where number = 2', 'seal seal 3: the chain is broken before this link'),
    ('the first seal gone', 'delete from ledger.seals where number = 1', 'seal seal 2: the chain is broken before this link')
) as tampering (what, statement, seal)
cross join lateral (select array(select tests.violations_of(tampering.statement))) as v (violations);

set local time zone 'Asia/Tokyo';
set local datestyle = 'German, DMY';
set local bytea_output = 'escape';
set local intervalstyle = 'sql_standard';
select is_empty('select * from ledger.verify()', 'K9: the chain does not depend on the settings of a session');
reset timezone;

-- Solvency (K8) -------------------------------------------------------------------------------

select give('reader', 10, 'bonus');
select results_eq(
    'select * from ledger.solvency()',
    $$ values
        ('bonus', 10::bigint, 0::bigint, 350000::bigint, -350000::bigint),
        ('purchase', 90, 4491000, 3150000, 1341000),
        ('refund', 4, 199600, 140000, 59600),
        (null, 104, 4690600, 3640000, 1050600) $$,
    'K8: what was paid for outstanding credits, against what creators will earn on them');
update app.economy set story_creator_basis_points = 10000;
select results_eq(
    'select source, owed_microdollars, margin_microdollars from ledger.solvency()',
    $$ values
        ('bonus', 500000::bigint, -500000::bigint), ('purchase', 4500000, -9000), ('refund', 200000, -400),
        (null, 5200000, -509400) $$,
    'K8: a margin can be negative');
update app.economy set earnings_mode = 'cash_value';
select results_eq(
    'select source, owed_microdollars, margin_microdollars from ledger.solvency()',
    $$ values ('bonus', 0::bigint, 0::bigint), ('purchase', 4491000, 0), ('refund', 199600, 0), (null, 4690600, 0) $$,
    'K8: but not when a credit earns at most what it brought');
select authenticate_as_service('admin');
select is((select count(*) from api.solvency()), 4::bigint, 'K8: an operator can see it');
select is_empty('select * from api.verify()', 'K8: and verify');
select authenticate_as('reader');
select throws_ok('select * from api.solvency()', '42501', 'permission denied for function solvency', 'K8: nobody else');
select throws_ok('select * from api.verify()', '42501', 'permission denied for function verify', 'K8: neither of them');

reset role;
select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
