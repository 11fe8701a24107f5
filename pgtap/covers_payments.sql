-- covers: payments that are refunded or disputed while the covers they pay for are being made (K6, case 6).
begin;
\ir helpers.psql
\ir covers.psql
select plan(100);

-- Drawn covers are dear here, so that a payment of 110 credits is behind two and a half of them.
update app.economy set cover_price_credits = 40, cover_jobs_per_user = 100;
select create_person('author'), create_person('operator');
select note('story', publish_story('author', 1)::text);

-- The author's wallet, what is set aside and what is frozen.
create function tests.money(handle text default 'author')
returns text
language sql stable
return format('%s + %s + %s', tests.balance(handle), tests.balance(handle, 'reserved'), tests.balance(handle, 'frozen_credits'));

-- What the author is told of a job.
create function tests.told(name text)
returns text
language plpgsql volatile
as $$
declare
    v_told text;
begin
    perform tests.claim('author');
    select concat_ws(', ', q.state, q.error_message) into v_told from app.cover_queue() as q where q.job_id = tests.job(told.name);
    perform set_config('request.jwt.claims', '', true);
    return v_told;
end;
$$;

-- Disputed, and won ---------------------------------------------------------------------------

select is(buy_credits('one', 'author'), 'applied', 'the author buys 110 credits');
select is(ask_cover('drawn', 'author', prompt => 'one'), 'pending 40', 'for two covers');
select is(ask_cover('stuck', 'author', prompt => 'two'), 'pending 40', 'of which nothing is drawn yet');
select is(money(), '30 + 80 + 0', 'eighty credits are set aside');
select authenticate_as('author');
select results_eq(
    'select description, amount, balance_after, reference_id, reference_type from api.credit_transactions order by id desc limit 2',
    format(
        $$ values ('Story cover', -40::bigint, 30::bigint, %L, 'cover'), ('Story cover', -40, 70, %L, 'cover') $$,
        noted('stuck'), noted('drawn')),
    'K4: the statement names the covers');
select sign_out();
select is_empty('select * from ledger.verify()', 'verify agrees while they wait');
select take('drawn'), take('stuck');
select is(dispute('first', 'one', 499), 'applied', 'the payment is disputed');
select is(money(), '0 + 80 + 30', 'what is unspent is frozen; what is set aside stays there');
select is(array[job_of('drawn'), job_of('stuck')], array_fill('generating after 1'::text, array[2]), 'both are drawn on: it is open');
select is_empty('select * from ledger.verify()', 'verify agrees with the dispute');
select is(finish('drawn'), 'completed 100% after 1', 'one is finished');
select is(money(), '0 + 40 + 30', 'and paid for, as far as is known');
select is_empty('select * from ledger.verify()', 'verify agrees with the finished one');
select is(fail_job('stuck', 'bad_request', true), 'failed', 'the other comes to nothing');
select is(money(), '0 + 40 + 30', 'what the dispute holds back does not come back yet');
select is_empty(
    $$ select * from app.notices where user_id = tests.user_id('author') and kind = 'cover_failed' and body like '%wallet%' $$,
    'nor is the author told so');
select is_empty('select * from ledger.verify()', 'verify agrees with the failed one');
select is(dispute('first', 'one', 499, 'won'), 'applied', 'the dispute is won');
select is(money(), '70 + 0 + 0', 'the unspent credits are back, and those of what failed; what was finished is paid');
select is(balance('author', 'reserved'), 0::bigint, 'nothing stays set aside');
select is(array[job_of('drawn'), left(job_of('stuck'), 6)], array['completed 100% after 1', 'failed'], 'the jobs are as they were');
select is_empty('select * from ledger.verify()', 'verify agrees when it was won');
select is(dispute('first', 'one', 499, 'won'), 'applied', 'said twice');
select is(money(), '70 + 0 + 0', 'it gives back once');

-- Refunded while one is drawn and another waits -----------------------------------------------

select ask_cover('waiting', 'author', prompt => 'three');
select is(money(), '30 + 40 + 0', 'another cover');
select is(repay('partial', 'one', 250, 'pending'), 'applied', 'a good half of the payment is on its way back');
select is(money(), '0 + 40 + 30', 'of 55 credits, 25 are of the cover that waits');
select is(cancel_cover('waiting', 'author'), 'canceled, 15 back, 15 in the wallet', 'canceled: what is not frozen comes back');
select is(money(), '15 + 25 + 30', 'and the rest stays where it is');
select is_empty('select * from ledger.verify()', 'verify agrees while both are undecided');
select is(repay('partial', 'one', 250, 'succeeded'), 'applied', 'the money is back with the payer');
select is(money(), '15 + 0 + 0', 'and nothing of it is set aside or frozen');
select is_empty('select * from ledger.verify()', 'verify agrees when it is final');
select is(repay('partial', 'one', 250, 'failed'), 'applied', 'the bank sends it back after all');
select is(money(), '70 + 0 + 0', 'so all 55 credits are there again');
select is_empty('select * from ledger.verify()', 'verify agrees when it was given back');

-- What is not paid for is not drawn -----------------------------------------------------------

select give('author', 10, 'grant', now() + interval '1 hour');
select is(ask_cover('mixed', 'author', prompt => 'four'), 'pending 40', 'a cover of which ten credits were a present');
select is(ask_cover('open', 'author', prompt => 'five'), 'pending 40', 'one that the payment alone is behind');
update app.economy set cover_price_credits = 0;
select is(ask_cover('free', 'author', prompt => 'six'), 'pending 0', 'and one that costs nothing');
update app.economy set cover_price_credits = 40;
select create_person('bystander'), publish_story('bystander', 1, 'Another story'), give('bystander', 40);
select ask_cover('elsewhere', 'bystander', 'Another story');
select take('open'), take('mixed');
select is(money(), '0 + 80 + 0', 'nothing is unspent');
select is(repay('all', 'one', 499, 'pending'), 'applied', 'all of the payment is on its way back');
select is(array[job_of('open'), job_of('mixed')], array_fill('generating after 1'::text, array[2]), 'it may still fail: they are drawn on');
select is(repay('all', 'one', 499), 'applied', 'it has arrived');
select is(
    job_of('open'), 'canceled after 1 because payment_taken_back: The payment for its credits was taken back.',
    'what nothing is left of is canceled');
select is(
    attempts_of('open'), array['1 at gpu1:7860 canceled because payment_taken_back: The payment for its credits was taken back.'],
    'the attempt too');
select is(told('open'), 'canceled, The payment for its credits was taken back.', 'and its author is told');
select is(app.beat_cover(job('open'), lease('open')), false, 'whoever draws it is told at the next beat');
select is(
    refusal($$ select tests.finish('open') $$),
    'PT409 lease_lost: This job is not yours any more. It was canceled, or its lease ran out and it was given to somebody else. '
    'Throw your result away.', 'and brings nothing any more');
select is(job_of('mixed'), 'generating after 1', 'what a part is left of is drawn');
select is(array[job_of('free'), job_of('elsewhere')], array['pending after 0', 'pending after 0'], 'and so is what it did not pay for');
select is(money(), '0 + 10 + 0', 'only the present is set aside');
select is(tests.money('bystander'), '0 + 40 + 0', 'and nothing of another person is touched');
select is_empty('select * from ledger.verify()', 'verify agrees when covers were canceled');
select is(finish('mixed'), 'completed 100% after 1', 'the cover is made');
select is(
    (select sum(t.amount)::bigint from ledger.transfers as t inner join app.cover_jobs as j on j.transaction_id = t.transaction_id
        where t.kind = 'capture' and j.id = job('mixed')),
    10::bigint, 'for the ten credits that are left of its price');
select is(money(), '0 + 0 + 0', 'nothing is left');
select is_empty('select * from ledger.verify()', 'verify agrees when it was made');
select is(repay('all', 'one', 499, 'failed'), 'applied', 'the bank sends this one back too');
select is(money(), '110 + 0 + 0', 'all that the payment bought is there again');
select is(left(job_of('open'), 8), 'canceled', 'but not the cover');
select is_empty('select * from ledger.verify()', 'verify agrees when it came back');

-- Two payments behind one cover ---------------------------------------------------------------

select buy_credits('two', 'author'), buy_credits('three', 'author');
update app.economy set cover_price_credits = 300;
select ask_cover('great', 'author', prompt => 'seven');
select is(money(), '30 + 300 + 0', 'a cover for all of two payments and most of a third');
select is(dispute('second', 'two', 499), 'applied', 'one is disputed');
select is(repay('third', 'three', 166, 'pending'), 'applied', 'a third of another is on its way back');
select is(money(), '0 + 300 + 30', 'what is unspent goes first, the rest is frozen where it is');
select is_empty('select * from ledger.verify()', 'verify agrees with both');
select is(dispute('second', 'two', 499, 'lost'), 'applied', 'the dispute is lost');
select is(money(), '0 + 190 + 30', 'its part is gone');
select is(job_of('great'), 'pending after 0', 'the cover still waits');
select is(cancel_cover('great', 'author'), 'canceled, 184 back, 184 in the wallet', 'canceled: what is neither gone nor frozen comes back');
select is(money(), '184 + 6 + 30', 'six credits stay frozen');
select is(repay('third', 'three', 166, 'failed'), 'applied', 'the refund does not arrive');
select is(money(), '220 + 0 + 0', 'both payments are whole again');
select is(dispute('second', 'two', 499, 'won'), 'applied', 'the bank changes its mind on the dispute');
select is(money(), '330 + 0 + 0', 'and all three are');
select is_empty('select * from ledger.verify()', 'verify agrees with all three');

-- What one refund or dispute had left to another ----------------------------------------------

update app.economy set cover_price_credits = 40;
select create_person('heir'), publish_story('heir', 1, 'A third story'), buy_credits('four', 'heir');
select ask_cover('ended', 'heir', 'A third story', prompt => 'one'), ask_cover('begun', 'heir', 'A third story', prompt => 'two');
select repay('fourth', 'four', 499, 'pending'), dispute('fifth', 'four', 499);
select is(tests.money('heir'), '0 + 80 + 30', 'a refund holds all that a dispute is about as well');
select is(cancel_cover('ended', 'heir'), 'canceled, 0 back, 0 in the wallet', 'of what is canceled nothing comes back');
select is(repay('fourth', 'four', 499, 'failed'), 'applied', 'Stripe refuses the refund');
select is(tests.money('heir'), '0 + 40 + 70', 'the dispute holds everything now: what was canceled as unspent credits');
select is(job_of('begun'), 'pending after 0', 'the other cover still waits');
select is_empty('select * from ledger.verify()', 'verify agrees with the heir');
select is(dispute('fifth', 'four', 499, 'lost'), 'applied', 'the dispute is lost');
select is(tests.money('heir'), '0 + 0 + 0', 'nothing is left');
select is(left(job_of('begun'), 43), 'canceled after 0 because payment_taken_back', 'and nothing is drawn for it');
select is_empty('select * from ledger.verify()', 'verify agrees with nothing');

-- What verify sees ----------------------------------------------------------------------------

update app.economy set cover_price_credits = 10;
select make_cover('made', 'author', prompt => 'eight'), ask_cover('asked', 'author', prompt => 'nine');
select ask_cover('given_up', 'author', prompt => 'ten'), cancel_cover('given_up', 'author');
select is(
    seen_after(replace(statement, '$1', quote_literal(tests.job(tampering.job)))), seen, format('K8: verify sees %s', what))
from (values
    ('what is open and was paid', 'asked',
        $$ update ledger.reservations set state = 'captured', settled_at = now()
           where id = (select j.transaction_id from app.cover_jobs as j where j.id = $1) $$,
        array[
            'cover_reservation: it is pending for 10 credits; its reservation is captured of 10',
            'reservation: captured, 10 credits; its movements took 10 and left 10']),
    ('what is open and cost nothing after all', 'given_up',
        $$ update app.cover_jobs set state = 'pending', finished_at = null where id = $1 $$,
        array['cover_reservation: it is pending for 10 credits; its reservation is released of 10']),
    ('what was made and is not paid', 'made',
        $$ update ledger.reservations set state = 'released'
           where id = (select j.transaction_id from app.cover_jobs as j where j.id = $1) $$,
        array[
            'cover_reservation: it is completed for 10 credits; its reservation is released of 10',
            'reservation: released, 10 credits; its movements took 10 and left 0']),
    ('what was canceled and is said to be made', 'given_up', $$ update app.cover_jobs set state = 'completed' where id = $1 $$,
        array[
            'cover_missing: it is completed and has no cover',
            'cover_reservation: it is completed for 10 credits; its reservation is released of 10']),
    ('another price', 'asked', $$ update app.cover_jobs set cost_credits = 9 where id = $1 $$,
        array['cover_reservation: it is pending for 9 credits; its reservation is held of 10']),
    ('a job that is gone', 'asked', $$ delete from app.cover_jobs where id = $1 $$,
        array['cover_sale_without_job: 10 credits were set aside and no job says for what']),
    ('a job that claims to be free', 'asked', $$ update app.cover_jobs set cost_credits = 0, transaction_id = null where id = $1 $$,
        array['cover_sale_without_job: 10 credits were set aside and no job says for what']),
    ('a job that was paid by another', 'asked', $$ update app.cover_jobs set user_id = tests.user_id('heir') where id = $1 $$,
        array[
            'cover_reservation: it is pending for 10 credits; its reservation is not there of 0',
            'cover_sale_without_job: 10 credits were set aside and no job says for what']),
    ('a cover that is gone', 'made', $$ delete from app.story_covers where job_id = $1 $$,
        array['cover_missing: it is completed and has no cover']),
    ('a cover that is another''s', 'made', $$ update app.story_covers set user_id = tests.user_id('heir') where job_id = $1 $$,
        array[format('cover_unpaid: its job %s is completed', job('made'))]),
    ('an attempt that goes on', 'made', $$ update app.cover_attempts set ended_at = null, outcome = null where job_id = $1 $$,
        array['cover_attempts: it is completed, and 1 attempts run']),
    ('two attempts at once', 'asked',
        $$ select tests.take('asked');
           insert into app.cover_attempts (job_id, number, server, task_id, seed) values ($1, 2, 's', 't', 1) $$,
        array['cover_attempts: it is generating, and 2 attempts run'])
) as tampering (what, job, statement, seen);
select is(
    seen_after(format(
        $$ update app.story_covers set job_id = %L where job_id = %L $$, job('asked'), job('made'))),
    array['cover_missing: it is completed and has no cover', format('cover_unpaid: its job %s is pending', job('asked'))],
    'K8: verify sees a cover that was not paid yet');

select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
