-- payouts: what Stripe makes of them: transfers, refusals, reversals, in every order (IP7, cases 1, 5 and 7).
begin;
\ir helpers.psql
select plan(158);

select count(create_person(p)) from unnest(array['operator']) as p;
select create_creator('maker', 200000000);

create function tests.hear(name text, changes jsonb default '{}')
returns text
language sql volatile
return tests.deliver('transfer.updated', tests.transfer_object(name, changes));
comment on function tests.hear(text, jsonb) is 'An event about the transfer of a noted payout; what became of it.';

create function tests.reversals_of(name text)
returns text[]
language sql stable
return array(
    select format('%s %s %s', r.stripe_reversal_id, r.amount_cents, r.currency)
    from app.payout_reversals as r where r.payout_id = tests.noted(reversals_of.name)::uuid order by r.stripe_reversal_id);

create function tests.movements_of(name text)
returns text[]
language sql stable
return array(
    select format(
        '%s %s %s>%s%s', t.kind, t.amount / 10000, t.debit_kind, t.credit_kind,
        case when t.reverses_id is not null then ' of ' || o.kind end)
    from ledger.transfers as t
    left join ledger.transfers as o on o.book_id = t.book_id and o.id = t.reverses_id
    where t.reference_id = tests.noted(movements_of.name)::uuid
        or t.reference_id in (select r.id from app.payout_reversals as r where r.payout_id = tests.noted(movements_of.name)::uuid)
    order by t.id);
comment on function tests.movements_of(text) is 'What a payout and its reversals moved: kind, cents, from, to, and what that reverses.';

-- Sent and answered -------------------------------------------------------------------------------
select is(ask_payout('plain', 'maker', 20), 'pending 2000', 'a payout is asked for');
select is_empty('select from app.claim_stripe_requests(10, true)', 'IP7: a worker with a live key leaves it alone');
select results_eq(
    'select r.id, r.kind, r.attempts from app.claim_stripe_requests(10, false) as r',
    $$ values (tests.transfer_request('plain'), 'transfer', 1) $$, 'FT5: the worker takes it at once');
select is(payout_of('plain'), 'processing 2000', 'from then on it is being sent');
select is(begin_transfer('plain'), 'pending after 2', 'case 7: an answer that was lost: asked again');
select is(payout_of('plain'), 'processing 2000', 'case 7: it is still being sent');
select is(answer_transfer('plain'), 'paid 2000 by tr_plain', 'IP7: Stripe answers');
select is(owed('maker'), '180000000 | 0 | 20000000', 'the money is paid');
select is(balance('maker', 'earnings') + ledger.balance(ledger.platform_id(), 'stripe'), 160000000::bigint,
    'and gone from Stripe''s balance');
select is(
    movements_of('plain'), array['payout 2000 earnings>payouts', 'payout_sent 2000 payouts>paid', 'transfer 2000 stripe>royalties'],
    'three movements');
select is(asked_of_stripe('plain'), '{succeeded after 2 as tr_plain}', 'Stripe need not be asked again');
select is(answer_transfer('plain'), 'paid 2000 by tr_plain', 'case 1: the answer twice');
select is(array[hear('plain'), hear('plain')], '{applied,applied}', 'case 1: and the event, twice');
select is(owed('maker'), '180000000 | 0 | 20000000', 'case 1: pay once');
select results_eq(
    $$ select processed_at, updated_at, sent_transaction_id is not null from app.payouts where id = tests.noted('plain')::uuid $$,
    $$ values (now(), now(), true) $$, 'the payout says when');

-- The event first ---------------------------------------------------------------------------------
select ask_payout('early', 'maker', 20), begin_transfer('early');
select is(hear('early'), 'applied', 'case 1: the event comes before the answer');
select is(payout_of('early'), 'paid 2000 by tr_early', 'case 1: and counts');
select is(asked_of_stripe('early'), '{succeeded after 1 as tr_early}', 'and it is the answer');
select is_empty('select * from ledger.verify()', 'which is as it should be');
select is(answer_transfer('early'), 'paid 2000 by tr_early', 'case 1: and changes nothing');
select ask_payout('before', 'maker', 20);
select is(hear('before'), 'applied', 'case 7: killed before anything was recorded, the event comes alone');
select is(payout_of('before'), 'paid 2000 by tr_before', 'case 7: it is paid');
select begin_transfer('before'), fail_transfer('before', 'api_error', true);
select is(payout_of('before'), 'paid 2000 by tr_before', 'case 7: whatever is said of the call afterwards');
select is(owed('maker'), '140000000 | 0 | 60000000', 'case 1: each is paid once');

-- Passing failures ----------------------------------------------------------------------------------
select ask_payout('short', 'maker', 20), begin_transfer('short');
select is(fail_transfer('short', 'balance_insufficient', false), 'processing 2000', 'case 7: Stripe''s balance is too small for now');
select results_eq(
    $$ select state, error_code, next_attempt_at > now() and next_attempt_at <= now() + interval '1 hour'
       from app.stripe_requests where id = tests.transfer_request('short') $$,
    $$ values ('pending', 'balance_insufficient', true) $$, 'it is tried again');
update app.stripe_requests set created_at = now() - interval '1 year', attempts = 1000 where id = transfer_request('short');
select is(fail_transfer('short', 'balance_insufficient', false), 'processing 2000',
    'case 7: after a year too: nobody''s money is given up');
select is(owed('maker'), '120000000 | 20000000 | 60000000', 'it is on its way');
select is(app.retry_payout(noted('short')::uuid), noted('short')::uuid, 'an operator may hurry it');
select is(
    (select array_agg(r.id) from app.claim_stripe_requests(10, false) as r), array[transfer_request('short')], 'then it is due');
select is(answer_transfer('short'), 'paid 2000 by tr_short', 'and goes');

-- Refused for good ------------------------------------------------------------------------------------
select ask_payout('no', 'maker', 20), begin_transfer('no');
select is(
    fail_transfer('no', 'insufficient_capabilities_for_transfer'),
    'failed 2000 because insufficient_capabilities_for_transfer: Your Stripe account cannot receive transfers at the moment.',
    'case 7: a transfer that fails');
select is(owed('maker'), '120000000 | 0 | 80000000', 'case 7: its money is back');
select is(movements_of('no'), array['payout 2000 earnings>payouts', 'payout_returned 2000 payouts>earnings of payout'], 'once');
select fail_transfer('no', 'insufficient_capabilities_for_transfer'), fail_transfer('no', 'x', false);
select is(owed('maker'), '120000000 | 0 | 80000000', 'case 7: however often that is said');
select is(app.payout_failure_text(code), expected, format('%s in words', coalesce(code, 'nothing')))
from (values
    ('transfers_not_allowed', 'Your Stripe account cannot receive transfers at the moment.'),
    ('account_invalid', 'Your Stripe account is not connected any more.'),
    ('account_closed', 'Your Stripe account is not connected any more.'),
    ('resource_missing', 'Your Stripe account is not connected any more.'),
    ('no_account', 'Your Stripe account is not connected any more.'),
    ('parameter_invalid', 'Stripe refused the transfer.'), (null, 'Stripe refused the transfer.')
) as v (code, expected);

-- Paid after all ----------------------------------------------------------------------------------------
select is(hear('no'), 'applied', 'case 7: Stripe made it all the same');
select is(payout_of('no'), 'paid 2000 by tr_no', 'case 7: then it is paid');
select is(owed('maker'), '100000000 | 0 | 100000000', 'case 7: and its money gone');
select is(
    movements_of('no'),
    array['payout 2000 earnings>payouts', 'payout_returned 2000 payouts>earnings of payout', 'payout 2000 earnings>payouts',
        'payout_sent 2000 payouts>paid', 'transfer 2000 stripe>royalties'], 'set aside a second time');
select is(hear('no'), 'applied', 'once');
select is_empty('select * from ledger.verify()', 'verify agrees');
select create_creator('twice', 50000000);
select ask_payout('lost', 'twice'), begin_transfer('lost'), fail_transfer('lost', 'api_error');
select pay_out('second', 'twice');
select is(answer_transfer('lost'), 'paid 5000 by tr_lost', 'case 7: the answer comes when the money was paid otherwise');
select is(owed('twice'), '-50000000 | 0 | 100000000', 'case 5: the creator has it twice, and owes it once');
select is(asked_of_stripe('lost'), '{succeeded after 1 as tr_lost}', 'the request succeeded');
select earn('twice', 70000000);
select is(ask_payout('net', 'twice'), 'pending 2000', 'case 5: later payouts net it');
select create_creator('undone', 90000000);
select ask_payout('canceled', 'undone', 20), ask_payout('held', 'undone', 20);
select app.stop_payout(noted('canceled')::uuid, 'No.'), app.hold_payout(noted('held')::uuid, 'Wait.');
select is(
    array[hear('canceled'), hear('held')], '{applied,applied}', 'somebody made the transfers by hand of one canceled and of one held');
select is(payout_of('canceled') || ', ' || payout_of('held'), 'paid 2000 by tr_canceled, paid 2000 by tr_held', 'both are paid');
select is(owed('undone'), '50000000 | 0 | 40000000', 'to the cent');

-- Something else than was asked for ------------------------------------------------------------------------
select ask_payout('odd', 'undone', 20), begin_transfer('odd');
select is(hear('odd', changes), 'failed', format('attack: a transfer with %s is not ours', changes))
from (values ('{"amount": 1999}'::jsonb), ('{"amount": null}'), ('{"currency": "eur"}'), ('{"destination": "acct_maker"}'),
    ('{"destination": null}'), ('{"id": ""}')) as v (changes);
select is(
    refusal(format($$ select tests.answer_transfer('odd', '{%s}') $$, changes)),
    'PT422 amount_mismatch: Stripe transferred something else than was asked for. ' || expected || ' instead of 2000 usd to acct_undone',
    format('attack: nor is such an answer: %s', changes))
from (values
    ('"amount": 1999', '1999 usd to acct_undone'), ('"currency": "eur"', '2000 eur to acct_undone'),
    ('"destination": "acct_maker"', '2000 usd to acct_maker')
) as v (changes, expected);
select is(asked_of_stripe('odd'), '{pending after 1}', 'the request waits for somebody to look at it');
select is(payout_of('odd'), 'processing 2000', 'and the payout with it');
select is(hear('plain', '{"id": "tr_other"}'), 'failed', 'attack: a second transfer for one payout');
select is(
    (select e.error from app.stripe_events as e where e.object_id = 'tr_other'),
    'Stripe made a second transfer for a payout. Reverse it there. tr_other came after tr_plain.', 'says what to do');
select is(hear('plain', changes), 'ignored', format('a transfer with %s is not ours', changes))
from (values ('{"metadata": {}}'::jsonb), ('{"metadata": null}'), ('{"metadata": {"payout_id": "not a uuid"}}'),
    ('{"metadata": {"payout_id": "00000000-0000-0000-0000-000000000001"}}')) as v (changes);
select is(owed('undone') || ' ' || owed('maker'), '30000000 | 20000000 | 40000000 100000000 | 0 | 100000000',
    'nothing of this moved anything');
select is(answer_transfer('odd'), 'paid 2000 by tr_odd', 'the right answer counts');

-- Taken back at Stripe -----------------------------------------------------------------------------------------
select create_creator('back', 100000000);
select pay_out('back', 'back');
select is(deliver('transfer.reversed', reversed('back', '{2500}')), 'applied', 'case 7: a part is taken back');
select is(payout_of('back'), 'paid 10000 by tr_back less 2500', 'case 7: it is still paid, less that');
select is(owed('back'), '25000000 | 0 | 75000000', 'case 7: what came back is owed again');
select is(
    (movements_of('back'))[4:], array['payout_reversed 2500 paid>earnings of payout_sent',
        'transfer_reversed 2500 royalties>stripe of transfer'],
    'two movements');
select is(
    array[deliver('transfer.reversed', reversed('back', '{2500}')), deliver('transfer.updated', reversed('back', '{2500}'))],
    '{applied,applied}', 'case 1: once more');
select is(owed('back'), '25000000 | 0 | 75000000', 'case 1: it is the same one');
select is(deliver('transfer.reversed', reversed('back', '{2500,2500,1}')), 'applied', 'case 7: two more, one of the same amount');
select is(reversals_of('back'), '{trr_back_1 2500 usd,trr_back_2 2500 usd,trr_back_3 1 usd}', 'each is a row');
select is(deliver('transfer.reversed', reversed('back', '{2500,2500}')), 'applied', 'case 1: the earlier event comes late');
select is(owed('back'), '50010000 | 0 | 49990000', 'case 1: nothing goes backwards');
select is(
    deliver('transfer.reversed', reversed('back', '{2500,2500,1,999}', 10000)), 'failed', 'attack: more is gone than is listed');
select is(
    (select e.error from app.stripe_events as e where e.object_id = 'tr_back' and e.state = 'failed'),
    'Stripe does not list all reversals of this transfer. It shows the newest ones only. Replay the events of the earlier ones first.',
    'that cannot be');
select is(payout_of('back'), 'paid 10000 by tr_back less 5001', 'and nothing of it happens');
select is(deliver('transfer.reversed', reversed('back', '{2500,2500,1,5000}')), 'failed', 'attack: nor more than was paid');
select is(
    deliver('transfer.reversed', transfer_object('back', jsonb_build_object(
        'amount_reversed', 5002, 'reversals', jsonb_build_object('data', jsonb_build_array(odd))))),
    'failed', format('attack: nor this: %s', odd))
from (values
    ('{"id": "trr_odd", "amount": 0, "currency": "usd", "created": 1}'::jsonb),
    ('{"id": "trr_odd", "amount": -1, "currency": "usd", "created": 1}'),
    ('{"id": "trr_odd", "amount": null, "currency": "usd", "created": 1}'), ('{"amount": 1, "currency": "usd", "created": 1}'),
    ('{"id": "trr_odd", "amount": 1, "created": 1}'), ('{"id": "trr_odd", "amount": 1, "currency": "dollars", "created": 1}')
) as v (odd);
select is(owed('back'), '50010000 | 0 | 49990000', 'nothing of this moved anything');
select is(deliver('transfer.reversed', reversed('back', '{2500,2500,1,4999}')), 'applied', 'case 7: the rest');
select is(payout_of('back'), 'paid 10000 by tr_back less 10000', 'case 7: all of it came back');
select is(owed('back'), '100000000 | 0 | 0', 'case 7: to the micro-dollar');
select is(ledger.lifetime_earned(user_id('back')), 100000000::bigint, 'IP6: it was earned all the time');
select is(ask_payout('anew', 'back'), 'pending 10000', 'and can be paid again');
select begin_transfer('anew');
select app.record_stripe_answer(transfer_request('anew'), reversed('anew', '{10000}'));
select is(payout_of('anew'), 'paid 10000 by tr_anew less 10000', 'case 1: an answer that is late shows what was taken back since');
select is(owed('back'), '100000000 | 0 | 0', 'case 1: both count');
-- Stripe lists the ten newest: the events before have told of the others.
select create_creator('often', 20000000), pay_out('often', 'often');
create function tests.newest_ten(reversals integer)
returns jsonb
language sql stable
return (
    select jsonb_set(r.object, '{reversals,data}', jsonb_path_query_array(r.object, '$.reversals.data[0 to 9]'))
    from (select tests.reversed('often', array_fill(100, array[reversals])::bigint[]) as object) as r);
select is(deliver('transfer.reversed', tests.newest_ten(11)), 'failed', 'case 7: eleven reversals of which ten are listed');
select is(payout_of('often'), 'paid 2000 by tr_often', 'are not taken for ten');
select is(deliver('transfer.reversed', tests.newest_ten(n)), 'applied', format('case 7: after %s', n))
from unnest(array[5, 11, 12, 10]) as n;
select is(payout_of('often') || ' ' || owed('often'), 'paid 2000 by tr_often less 1200 12000000 | 0 | 8000000',
    'case 7: all of them count, once');

select authenticate_as('back');
select results_eq(
    'select stripe_reversal_id, amount_cents, currency from api.payout_reversals order by id',
    $$ values ('trr_back_1', 2500::bigint, 'usd'), ('trr_back_2', 2500::bigint, 'usd'), ('trr_back_3', 1::bigint, 'usd'),
        ('trr_back_4', 4999::bigint, 'usd'), ('trr_anew_1', 10000::bigint, 'usd') $$, 'IP7: the creator sees each of them');
select authenticate_as('maker');
select is_empty('select * from api.payout_reversals', 'isolation: nobody else does');
select sign_out();
select is(
    refusal(statement),
    'PT403 append_only: Rows of app.payout_reversals are never changed or removed. Post a new row that corrects the old one.',
    format('%s is refused', statement))
from (values ('update app.payout_reversals set amount_cents = 1'), ('delete from app.payout_reversals'),
    ('truncate app.payout_reversals')) as v (statement);

-- To an account that is gone -----------------------------------------------------------------------------------
select create_creator('mover', 50000000);
select ask_payout('moved', 'mover'), begin_transfer('moved');
update app.payout_accounts set deauthorized_at = now() where user_id = user_id('mover');
select is(
    fail_transfer('moved', 'account_invalid'),
    'failed 5000 because account_invalid: Your Stripe account is not connected any more.', 'the account went while it was paid');
select alike(
    refusal(format('select app.retry_payout(%L)', noted('moved'))), 'PT403 payout_account_required: %', 'it is not paid to nobody');
select connect('mover', '{"id": "acct_mover2"}');
select note('moved2', app.retry_payout(noted('moved')::uuid)::text);
select is(
    (select parameters ->> 'destination' from app.stripe_requests where id = transfer_request('moved2')), 'acct_mover2',
    'IP7: it goes to the new one');
select is(hear('moved2', '{"destination": "acct_mover"}'), 'failed', 'attack: and to no other');

-- The bank says no ------------------------------------------------------------------------------------------------
create function tests.bank(account text, changes jsonb default '{}')
returns text
language sql volatile
return tests.from_account(account, 'payout.failed', '{"object": "payout", "id": "po_1", "status": "failed", "amount": 1250,
    "currency": "usd", "failure_code": "account_closed"}'::jsonb || changes);
select is(bank('acct_mover2', changes), expected, what)
from (values
    ('{"status": "paid"}'::jsonb, 'ignored', 'FT7: what reached the bank is no news'),
    ('{"status": null}', 'ignored', 'nor is nothing'),
    ('{}', 'applied', 'what the bank sent back is'),
    ('{}', 'applied', 'case 1: also when it comes twice')
) as v (changes, expected, what);
select is(bank('acct_stranger', '{"id": "po_2"}'), 'ignored', 'a stranger''s bank is not ours');
select results_eq(
    $$ select user_id, data ->> 'amount' from app.notices where kind = 'payout_bank_refused' $$,
    $$ values (tests.user_id('mover'), '$12.50') $$, 'FT7: the creator is told, once');
select is(owed('mover'), '0 | 50000000 | 0', 'nothing moves: the money is in their account at Stripe');
-- Stripe's statement ---------------------------------------------------------------------------------------------
create function tests.stripe_line(id text, cents bigint, source text, type text default 'transfer')
returns integer
language sql volatile
return app.import_stripe_balance_transactions(jsonb_build_array(jsonb_build_object(
    'id', id, 'type', type, 'reporting_category', type, 'amount', cents, 'fee', 0, 'net', cents, 'currency', 'usd',
    'source', source, 'created', 1790000000)));
select results_eq(
    $$ select stripe_id, type, amount_cents from app.reconcile() where stripe_id like '%\_anew%' order by 3 $$,
    $$ values ('tr_anew', 'transfer', -10000::bigint), ('trr_anew_1', 'transfer_reversed', 10000::bigint) $$,
    'reconcile: what left and came back is looked for on Stripe''s statement');
select stripe_line(
    'txn_' || r.stripe_id, r.amount_cents, r.stripe_id, case when r.amount_cents < 0 then 'transfer' else 'transfer_refund' end)
from app.reconcile() as r;
select is_empty('select * from app.reconcile()', 'reconcile: and found there');
select is((select statement_cents * 10000 - ledger_microdollars from app.stripe_balance()), 0::bigint, 'both sides come to the same sum');
select stripe_line('txn_a', -500, 'tr_plain'), stripe_line('txn_b', -2000, 'tr_unknown'), stripe_line('txn_c', 2500, 'trr_back_1',
    'transfer_refund');
select set_eq(
    'select side, stripe_id, type, amount_cents from app.reconcile()',
    $$ values ('stripe', 'tr_plain', 'transfer', -500::bigint), ('stripe', 'tr_unknown', 'transfer', -2000::bigint),
        ('stripe', 'trr_back_1', 'transfer_refund', 2500::bigint) $$, 'reconcile: what nobody here knows is named');

-- Tampering -----------------------------------------------------------------------------------------------------------
create function tests.seen(statement text, names text)
returns text
language sql volatile
return (
    select string_agg(s, '; ') from unnest(tests.seen_after(format(statement, tests.noted(names)))) as s
    where s ~ '^(payout|transfer_request|correction|royalties|money|stripe_movements)');
comment on function tests.seen(text, text) is 'What verify says of payouts after the statement about a noted one.';
select alike(tests.seen(statement, name), expected, format('verify sees that %s', what))
from (values
    ('a payout says more', 'plain', 'payout: paid 2001 cents, the ledger says 20000000 set aside, 20000000 sent and 20000000 transferred%',
        $$ update app.payouts set amount_cents = 2001 where id = %L $$),
    ('a payout is another''s', 'plain', 'payout: paid 2000 cents%',
        $$ update app.payouts set creator_id = tests.user_id('back') where id = %L $$),
    ('a payout is gone', 'plain', 'money_without_payout: it is not there%', $$ delete from app.payouts where id = %L $$),
    ('a payout is held that was sent', 'plain', 'payout: held 2000 cents%',
        $$ update app.payouts set status = 'held', hold_reason = 'x', stripe_transfer_id = null, sent_transaction_id = null
        where id = %L $$),
    ('a payout never failed', 'odd', 'payout: failed 2000 cents%',
        $$ update app.payouts set status = 'failed', stripe_transfer_id = null, sent_transaction_id = null where id = %L $$),
    ('nobody asks Stripe', 'net', 'payout_request: pending, and 0 requests wait for Stripe',
        $$ update app.stripe_requests set state = 'withdrawn' where subject_id = %L $$),
    ('Stripe is asked for one that failed', 'moved', 'payout_request: failed, and 1 requests wait for Stripe',
        $$ update app.stripe_requests set state = 'pending' where subject_id = %L $$),
    ('a payout came back that did not', 'plain', 'payout_reversals: says 5 cents came back, its reversals 0',
        $$ update app.payouts set reversed_cents = 5 where id = %L $$),
    ('a reversal says less', 'back', 'payout_reversal: 1 cents, the ledger says %',
        $$ update app.payout_reversals set amount_cents = 1 where payout_id = %L and amount_cents > 1 $$),
    ('a reversal is gone', 'anew', 'money_without_payout: it is not there; payout_reversals: says 10000 cents came back, its reversals 0%',
        $$ delete from app.payout_reversals where payout_id = %L $$),
    ('a reversal is another''s', 'anew', 'payout_reversal: 10000 cents%',
        $$ update app.payout_reversals set creator_id = tests.user_id('maker') where payout_id = %L $$),
    ('money was never set aside', 'plain', 'payout: paid 2000 cents, the ledger says 0 set aside, 20000000 sent and 20000000 transferred%',
        $$ delete from ledger.transfers where kind = 'payout' and reference_id = %L $$),
    ('money never left', 'plain', 'payout: paid 2000 cents, the ledger says 20000000 set aside, 20000000 sent and 0 transferred%',
        $$ delete from ledger.transfers where kind = 'transfer' and reference_id = %L $$),
    ('money came back twice', 'no', 'payout: paid 2000 cents, the ledger says 0 set aside%', $$ insert into ledger.transfers (
        book_id, transaction_id, debit_owner_id, debit_kind, credit_owner_id, credit_kind, amount, asset, kind, reference_type,
        reference_id)
        select book_id, app.new_id(), debit_owner_id, debit_kind, credit_owner_id, credit_kind, amount, asset, kind, reference_type,
            reference_id
        from ledger.transfers where kind = 'payout_returned' and reference_id = %L $$),
    ('a payout names other movements', 'plain', 'payout_links: its movements are not those that it names',
        $$ update app.payouts set transaction_id = app.new_id() where id = %L $$),
    ('it says to have left otherwise', 'plain', 'payout_links: its movements are not those that it names',
        $$ update app.payouts set sent_transaction_id = app.new_id() where id = %L $$),
    ('a payout goes to somebody else', 'net', 'transfer_request: asks for 2000 usd to acct_twice, its payout says 2000 usd to acct_evil',
        $$ update app.payouts set stripe_account_id = 'acct_evil' where id = %L $$),
    ('Stripe is asked to pay somebody else', 'net',
        'transfer_request: asks for 2000 usd to acct_evil, its payout says 2000 usd to acct_twice',
        $$ update app.stripe_requests set parameters = jsonb_set(parameters, '{destination}', '"acct_evil"') where subject_id = %L $$),
    ('Stripe is asked for more', 'net', 'transfer_request: asks for 2001 usd to acct_twice, its payout says 2000 usd to acct_twice',
        $$ update app.stripe_requests set parameters = jsonb_set(parameters, '{amount}', '2001') where subject_id = %L $$),
    ('Stripe is asked in the other mode', 'net', 'transfer_request: asks for 2000 usd%',
        $$ update app.stripe_requests set is_live = true where subject_id = %L $$),
    ('Stripe is asked for no payout', 'net', 'transfer_request: asks for 5 usd to acct_evil, its payout says nothing',
        $$ insert into app.stripe_requests (id, user_id, kind, subject_id, parameters, idempotency_key, is_live, next_attempt_at)
        values (app.new_id(), tests.user_id('twice'), 'transfer', app.new_id(),
            '{"amount": 5, "currency": "usd", "destination": "acct_evil"}', %L, false, now()) $$),
    ('a payout was taken from another', 'plain', 'payout_movement: payout of % from earnings of % to payouts of %',
        $$ update ledger.transfers set debit_owner_id = tests.user_id('back') where kind = 'payout' and reference_id = %L $$),
    ('a payout was set aside for another', 'plain', 'payout_movement: payout of % from earnings of % to payouts of %',
        $$ update ledger.transfers set credit_owner_id = tests.user_id('back') where kind = 'payout' and reference_id = %L $$),
    ('a transfer went to the bank', 'plain',
        'payout_movement: transfer of % to bank of %; royalties: % micro-dollars are owed, creators have %',
        $$ update ledger.transfers set credit_kind = 'bank' where kind = 'transfer' and reference_id = %L $$),
    ('a transfer came from the bank', 'plain', 'payout_movement: transfer of % from bank of %',
        $$ update ledger.transfers set debit_kind = 'bank' where kind = 'transfer' and reference_id = %L $$),
    ('somebody gave a creator money', 'plain', 'corrections: 5 micro-dollars were posted, 0 are on record',
        $$ insert into ledger.transfers (
        book_id, transaction_id, debit_owner_id, debit_kind, credit_owner_id, credit_kind, amount, asset, kind, reference_type,
        reference_id)
        values (tests.user_id('back'), app.new_id(), ledger.platform_id(), 'royalties', tests.user_id('back'), 'earnings', 5, 'usd',
            'correction', 'correction', %L) $$),
    ('somebody gave the money of the bank', 'plain', 'correction: from bank of %; corrections: 5 micro-dollars %; royalties: %',
        $$ insert into ledger.transfers (
        book_id, transaction_id, debit_owner_id, debit_kind, credit_owner_id, credit_kind, amount, asset, kind, reference_type,
        reference_id)
        values (tests.user_id('back'), app.new_id(), ledger.platform_id(), 'bank', tests.user_id('back'), 'earnings', 5, 'usd',
            'correction', 'correction', %L) $$),
    ('money left for nothing', 'plain', '%stripe_movements: %',
        $$ update ledger.transfers set reference_type = 'gift' where reference_id = %L $$)
) as v (what, name, expected, statement);

select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
