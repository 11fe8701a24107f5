-- ledger: what every creator earned by month: the sums of the movements, however old the fold (case 9).
begin;
\ir helpers.psql
\ir alone.psql
\ir earning_totals.psql
select plan(87);

select create_person(p) from unnest(array['reader', 'payer', 'creator', 'partner', 'operator']) as p;
select give('reader', 1000, 'purchase', paid_microdollars => 40000000);
select publish_story('creator', 12, 'Story');
select publish_story('creator', 12, 'Shared');
select claim('creator');
select app.set_story_authors(story_id('Shared'), array[user_id('creator'), user_id('partner')], '{6667,3333}');
select sign_out();
update app.economy set earnings_hold_days = 0, minimum_payout_cents = 1;
insert into app.payout_accounts (user_id, is_live, stripe_account_id, transfers_status, payouts_enabled, read_at)
values (user_id('creator'), false, 'acct_creator', 'active', true, now());

create function tests.figures(handle text)
returns text
language sql stable
return format(
    'earnings %s payouts %s paid %s lifetime %s', tests.balance(figures.handle, 'earnings'), tests.balance(figures.handle, 'payouts'),
    tests.balance(figures.handle, 'paid'), ledger.lifetime_earned(tests.user_id(figures.handle)));

-- Whatever moves earnings -----------------------------------------------------

select is_empty('select tests.wrong_months()', 'nobody has months at first');

select note('first', (buy('reader', story_id('Story'), 'chapter', '{3}')).purchase_id::text);
select note('second', (buy('reader', story_id('Shared'), 'chapter', '{3}')).purchase_id::text);
select tests.holds('sales');
select buy('reader', story_id('Shared'), 'chapter', '{4}');
select tests.holds('more sales of the same story');
select spend('reader', 7, '{creator,partner}', '{6667,3333}'), spend('reader', 3, '{creator}');
select tests.holds('sales of what has no id');
select spend('reader', 3, '{creator}');
select tests.holds('and once more');

select authenticate_as_service('operator');
select api.refund_story_purchase(user_id('reader'), noted('second')::uuid, 'a mistake', 2);
select sign_out();
select tests.holds('a part of a sale taken back');
select authenticate_as_service('operator');
select api.refund_story_purchase(user_id('reader'), noted('second')::uuid, 'a mistake');
select sign_out();
select tests.holds('the rest of it');
select is(
    (select sum(m.microdollars) from ledger.earning_months(user_id('partner')) as m where m.reference_id = story_id('Shared')),
    58327::numeric, 'case 4: to the micro-dollar: one of two sales is left to the co-author');

select buy_credits('paid', 'payer');
select buy('payer', story_id('Shared'), 'chapter', '{3}');
select tests.holds('a sale that was paid for by card');
select dispute('one', 'paid', 499);
select tests.holds('a dispute, which freezes it');
select is(
    (select m.microdollars from ledger.earning_months(user_id('partner')) as m where m.kind = 'freeze'), -58327::bigint,
    'case 5: what is frozen is missing at once');
select dispute('one', 'paid', 499, 'won');
select tests.holds('a dispute that was won');
select repay('two', 'paid', 499);
select tests.holds('a payment that was given back');

select claim('creator');
select note('returned', (select payout_id::text from app.request_payout(0.10, null)));
select tests.holds('a payout');
select is(tests.figures('creator'), 'earnings 565015 payouts 100000 paid 0 lifetime 665015', 'K2: on its way it is earned still');
select app.record_stripe_failure(r.id, 'account_invalid', 'No such account', true)
from app.stripe_requests as r
where r.subject_id = noted('returned')::uuid;
select tests.holds('a payout that failed');
select is(tests.figures('creator'), 'earnings 665015 payouts 0 paid 0 lifetime 665015', 'K2: returned it is earned once, not twice');

select claim('creator');
select note('sent', (select payout_id::text from app.request_payout(0.15, null)));
create function tests.transfer(payout text, changes jsonb default '{}')
returns jsonb
language sql stable
return (
    select r.parameters || jsonb_build_object(
        'object', 'transfer', 'id', 'tr_' || payout, 'amount_reversed', 0, 'reversals', jsonb_build_object('data', '[]'::jsonb)) || changes
    from app.stripe_requests as r
    where r.kind = 'transfer' and r.subject_id = tests.noted(payout)::uuid);
select deliver('transfer.created', tests.transfer('sent'));
select tests.holds('a payout that was sent');
select is(tests.figures('creator'), 'earnings 515015 payouts 0 paid 150000 lifetime 665015', 'K2: paid is earned, too');
select deliver('transfer.reversed', tests.transfer(
    'sent', '{"amount_reversed": 4, "reversals": {"data": [{"id": "trr_1", "amount": 4, "currency": "usd", "created": 1}]}}'));
select tests.holds('a part of it taken back at Stripe');
select is(tests.figures('creator'), 'earnings 555015 payouts 0 paid 110000 lifetime 665015', 'K2: reversed it is not earned again');
select deliver('transfer.reversed', tests.transfer(
    'sent',
    '{"amount_reversed": 15, "reversals": {"data": [{"id": "trr_2", "amount": 11, "currency": "usd", "created": 2}]}}'));
select tests.holds('the rest of it taken back at Stripe');
select is(tests.figures('creator'), 'earnings 665015 payouts 0 paid 0 lifetime 665015', 'K2: as if nothing had been paid');
select deliver('transfer.created', tests.transfer('returned'));
select tests.holds('a payout that failed here and was made at Stripe after all');
select is(tests.figures('creator'), 'earnings 565015 payouts 0 paid 100000 lifetime 665015', 'K2: it is paid, and no more earned');
select claim('creator');
select app.cancel_payout(payout_id) from app.request_payout(0.01, null);
select tests.holds('a payout that was canceled');
select is(tests.figures('creator'), 'earnings 565015 payouts 0 paid 100000 lifetime 665015', 'K2: as if it had not been asked for');
select app.adjust_earnings(user_id('creator'), 1, 'a gift', null);
select tests.holds('a correction up');
select app.adjust_earnings(user_id('creator'), -1000000, 'a mistake', null);
select tests.holds('a correction down');
select is(
    tests.figures('creator'), 'earnings -434984 payouts 0 paid 100000 lifetime -334984',
    'case 9: it counts at once, and may leave a debt');
select is(tests.figures('stranger'), 'earnings 0 payouts 0 paid 0 lifetime 0', 'K2: who is not there has earned nothing');
select is_empty('select * from ledger.verify()', 'nothing was made or lost');

-- The fold, and what is not folded --------------------------------------------

create temporary table totals as select * from ledger.earning_totals;
select is(tests.let_pass(), 0::bigint, 'K3: a second fold finds nothing');
select set_eq('select * from ledger.earning_totals', 'select * from totals', 'K3: and changes no total');
select ok((select s.totals_position = s.position from ledger.fold_state as s), 'K3: the totals are as far as the balances');
select set_eq('select * from tests.totals_kept', 'select * from tests.movements_by_month', 'K3: they are the sums of the movements');
select is(
    (select count(*) from ledger.earning_totals as e where e.reference_type = 'test'), 2::bigint,
    'K3: what has no id is one line a creator');

select ledger.forget_earning_totals();
select is_empty('select * from ledger.earning_totals', 'totals can be forgotten');
select is_empty('select tests.wrong_months()', 'and are then read from the movements');
select is_empty('select * from ledger.verify()', 'K8: which is no violation');
select ledger.fold();
select set_eq('select * from ledger.earning_totals', 'select * from totals', 'the next fold sums them anew');

-- Between the migration and the code of this release the fold goes on without the totals.
select spend('reader', 1, '{creator}');
select tests.let_pass();
delete from ledger.earning_totals;
insert into ledger.earning_totals select * from totals;
update ledger.fold_state set totals_position = noted('age')::bigint;
select is_empty('select tests.wrong_months()', 'totals may lag behind the balances');
select is_empty('select * from ledger.verify()', 'K8: which is no violation either');
select is(ledger.fold(), 0::bigint, 'a fold that moves no balance');
select set_eq('select * from tests.totals_kept', 'select * from tests.movements_by_month', 'brings them up');

-- A restore into another cluster ----------------------------------------------

select create_person('writer'), spend('reader', 1, '{writer}'), spend('reader', 1, '{writer}');
select let_pass();
update ledger.fold_state set position = 1000000000000000, totals_position = 1000000000000000;
select spend('reader', 1, '{creator}');
select is(ledger.folded_position(), -1::bigint, 'a fold from the future is not trusted');
update ledger.earning_totals set microdollars = microdollars + 1;
select is_empty('select tests.wrong_months()', 'K2: nor are its totals');
select is(
    (select array_agg(v.check_name) from ledger.verify() as v), array['restored'], 'K8: verify says what to do, and nothing else');
select ledger.fold();
select is_empty('select tests.wrong_months()', 'K2: the next fold sums them anew');
select is_empty('select * from ledger.verify()', 'K8: and all is well');
select spend('reader', 1, '{creator}');
select is_empty('select tests.wrong_months()', 'K2: what is sold afterwards counts');
select ledger.fold();
select is_empty('select tests.wrong_months()', 'K2: once');

-- Tampering (K8) --------------------------------------------------------------

select is_empty('select * from ledger.verify()', 'K8: at first all is well');
select is(seen_after(statement), seen, format('K8: %s is named', what))
from (values
    ('a micro-dollar too many',
        $$ update ledger.earning_totals set microdollars = microdollars + 1 where creator_id = user_id('writer') $$,
        array['earning_total: says 70001 in 2 movements, the ledger 70000 in 2']),
    ('a sale too many',
        $$ update ledger.earning_totals set movements = 3 where creator_id = user_id('writer') $$,
        array['earning_total: says 70000 in 3 movements, the ledger 70000 in 2']),
    ('a total that is gone',
        $$ delete from ledger.earning_totals where creator_id = user_id('writer') $$,
        array['earning_total: says 0 in 0 movements, the ledger 70000 in 2']),
    ('a total from nowhere',
        $$ insert into ledger.earning_totals (
            creator_id, month, kind, reference_type, reference_id, microdollars, movements)
        values (user_id('reader'), '2026-11-01', 'earning', '', ledger.platform_id(), 5, 1) $$,
        array['earning_total: says 5 in 1 movements, the ledger 0 in 0']),
    ('another month',
        $$ update ledger.earning_totals set month = '2026-05-01' where creator_id = user_id('writer') $$,
        array[
            'earning_total: says 0 in 0 movements, the ledger 70000 in 2', 'earning_total: says 70000 in 2 movements, the ledger 0 in 0']),
    ('another creator',
        $$ update ledger.earning_totals set creator_id = user_id('reader') where creator_id = user_id('writer') $$,
        array[
            'earning_total: says 0 in 0 movements, the ledger 70000 in 2', 'earning_total: says 70000 in 2 movements, the ledger 0 in 0']),
    ('another kind',
        $$ update ledger.earning_totals set kind = 'correction' where creator_id = user_id('writer') $$,
        array[
            'earning_total: says 0 in 0 movements, the ledger 70000 in 2', 'earning_total: says 70000 in 2 movements, the ledger 0 in 0']),
    ('another reference',
        $$ update ledger.earning_totals set reference_type = 'gift' where creator_id = user_id('writer') $$,
        array[
            'earning_total: says 0 in 0 movements, the ledger 70000 in 2', 'earning_total: says 70000 in 2 movements, the ledger 0 in 0']),
    ('a sale moved to another month',
        $$ update ledger.transfers set created_at = created_at + interval '3 months'
        where id = (select t.id from ledger.transfers as t where t.credit_owner_id = user_id('writer') limit 1) $$,
        array[
            'earning_total: says 0 in 0 movements, the ledger 35000 in 1',
            'earning_total: says 70000 in 2 movements, the ledger 35000 in 1']),
    ('totals that forgot how far they are',
        'update ledger.fold_state set totals_position = 0',
        array(
            select distinct format('earning_total: says %s in %s movements, the ledger 0 in 0', e.microdollars, e.movements)
            from ledger.earning_totals as e order by 1)),
    ('totals that say they are further',
        'update ledger.fold_state set totals_position = ledger.next_position() + 1',
        array['earning_total: says 443342 in 5 movements, the ledger 478342 in 6'])
) as tampering (what, statement, seen);
select is_empty('select * from ledger.verify()', 'K8: all of it was undone');

-- They are the ledger's own ---------------------------------------------------

select is_empty(
    $$ select r.role from (values ('anon'), ('authenticated'), ('service_role'), ('edge')) as r (role)
    where has_table_privilege(r.role, 'ledger.earning_totals', 'select')
        or has_function_privilege(r.role, 'ledger.earning_months(uuid)', 'execute')
        or has_function_privilege(r.role, 'ledger.forget_earning_totals()', 'execute') $$,
    'nobody outside reads them or makes them be forgotten');
select authenticate_as('writer');
select throws_ok(
    $$ select * from ledger.earning_months(user_id('writer')) $$, '42501', 'permission denied for schema ledger',
    'not even their creator: statements are for that');
select sign_out();

select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
