-- payments: disputes that open, are won and are lost, in every order, and everything at random (K6, cases 5 and 6).
begin;
\ir helpers.psql
\ir alone.psql
select plan(73);

select count(tests.create_person(p))
from unnest(array['reader', 'friend', 'crowd1', 'crowd2', 'crowd3', 'creator', 'cowriter', 'operator']) as p;
select tests.make_package('Thousand', 100, 10, 1000), tests.make_package('Thirty', 30, 0, 300), tests.make_package('Twenty', 20, 0, 200);
select tests.publish_story('creator', 30, 'Story');
select tests.claim('creator');
select app.set_story_authors(tests.story_id('Story'), array[user_id('creator'), user_id('cowriter')], '{6667,3333}');
select tests.sign_out();

-- A wallet and what is frozen of it, then each creator's earnings and frozen earnings.
create function tests.money(handle text default 'reader')
returns text
language sql stable
return format(
    '%s+%s | %s+%s | %s+%s', tests.balance(handle), tests.balance(handle, 'frozen_credits'),
    tests.balance('creator', 'earnings'), tests.balance('creator', 'frozen_earnings'),
    tests.balance('cowriter', 'earnings'), tests.balance('cowriter', 'frozen_earnings'));

create function tests.at_stripe()
returns bigint[]
language sql stable security definer
return array[
    ledger.balance(ledger.platform_id(), 'stripe') / 10000, ledger.balance(ledger.platform_id(), 'disputed') / 10000];
comment on function tests.at_stripe() is 'Cents that Stripe holds for us, and that it withholds.';

create function tests.disputes_of(payment text)
returns text[]
language sql stable security definer
return array(
    select format('%s %s %s', d.status, d.amount_cents, d.credits)
    from app.disputes as d where d.payment_id = tests.payment(disputes_of.payment) order by d.id
);

create function tests.may_read(handle text)
returns integer[]
language sql stable security definer
return array(
    select e.chapter_number from app.story_entitlements as e
    where e.user_id = tests.user_id(may_read.handle) and e.revoked_at is null order by 1
);

-- Everything that people see of their money. Credits that came back count as refunded by source; that alone may differ.
create function tests.everything(handles text[])
returns jsonb
language plpgsql volatile security definer
as $$
declare
    v_handle text;
    v_seen jsonb := '{}';
begin
    foreach v_handle in array handles loop
        perform tests.claim(v_handle);
        v_seen := v_seen || jsonb_build_object(v_handle, jsonb_build_object(
            'balance', (select to_jsonb(b) - 'by_source' from app.credit_balance() as b),
            'earnings', (select to_jsonb(e) from app.earnings_summary() as e),
            'figures', (select to_jsonb(f) from app.profile_figures(tests.user_id(v_handle)) as f),
            'lots', (
                select jsonb_agg(to_jsonb(l) order by l.payment_id, l.expires_at)
                from (
                    select o.payment_id, o.expires_at, sum(o.remaining) as credits,
                        sum(o.paid_microdollars - ledger.portion(o.paid_microdollars, 0, o.credits - o.remaining, o.credits)) as paid
                    from ledger.lots as o
                    where o.book_id = tests.user_id(v_handle) and not o.is_spent group by 1, 2
                ) as l),
            'entitlements', (
                select jsonb_agg(to_jsonb(s) order by s.chapter_number)
                from app.story_entitlements as s where s.user_id = tests.user_id(v_handle))));
    end loop;
    perform tests.claim('nobody'), set_config('request.jwt.claims', '', true);
    return v_seen;
end;
$$;

-- Opened and won: as if nothing had been -------------------------------------------------------
select tests.buy_credits('won', 'reader', 'Thousand');
select note('bundle', (tests.buy('reader', tests.story_id('Story'), 'bundle', '{3,4,5}')).purchase_id::text);
select is(tests.money(), '97+0 | 303349+0 | 151651+0', 'a bundle for 13 of 110 credits, by two authors');
select note('before', tests.everything('{reader,creator,cowriter}')::text);
select is(tests.dispute('won', 'won', 1000), 'applied', 'the payment is disputed');
select is(tests.money(), '0+97 | 0+303349 | 0+151651', 'what is unspent is frozen, and what it earned');
select is(tests.at_stripe(), '{0,1000}'::bigint[], 'Stripe withholds the money');
select is(tests.may_read('reader'), '{3,4,5}', 'what was bought can be read until it is decided');
select is_empty('select * from ledger.verify()', 'verify agrees while it is open');
select is(
    array(select tests.dispute('won', 'won', 1000, s) from unnest('{under_review,needs_response,warning_closed}'::text[]) as s),
    '{applied,applied,applied}', 'case 1: more news of it');
select is(tests.money(), '0+97 | 0+303349 | 0+151651', 'case 1: move nothing');
select authenticate_as('reader');
select results_eq(
    $$ select stripe_dispute_id, amount_cents, status, reason, fee_cents, credits, settled_at from api.disputes $$,
    $$ values ('dp_won', 1000::bigint, 'open', 'fraudulent', 1500::bigint, 110::bigint, null::timestamptz) $$, 'the payer sees it');
select results_eq(
    $$ select kind, amount_cents, description from api.billing_history order by amount_cents $$,
    $$ values ('dispute', -1000::bigint, 'Dispute: open'), ('payment', 1000::bigint, 'Thousand: 110 credits') $$, 'in their history too');
select is((select dispute_status from api.payments), 'open', 'and at the payment');
select authenticate_as('creator');
select is_empty('select * from api.disputes', 'nobody else does');
select tests.sign_out();
select is(
    refusal($$ select tests.ask_refund(payment('won')) $$), 'PT409 already_refunded: Nothing of this payment is left to refund. '
    'Of 1000 cents all went back, are on their way, or are withheld by a dispute.',
    'what is disputed is not refunded as well');
select tests.dispute('won', 'won', 1000, 'won');
select is(tests.everything('{reader,creator,cowriter}'), noted('before')::jsonb, 'won: everybody has what they had, to the micro-dollar');
select is(tests.at_stripe(), '{1000,0}'::bigint[], 'and so have we');
select tests.dispute('won', 'won', 1000, 'lost');
select is(tests.disputes_of('won'), '{won 1000 110}', 'won is won');
select is(tests.everything('{reader,creator,cowriter}'), noted('before')::jsonb, 'whatever comes later');
select is_empty('select * from ledger.verify()', 'verify agrees when it is won');

-- Lost at once, then won after all -------------------------------------------------------------
select tests.dispute('lost', 'won', 1000, 'lost');
select is(tests.money(), '0+0 | 0+0 | 0+0', 'case 6: lost, without ever having been open here');
select is(tests.at_stripe(), '{0,0}'::bigint[], 'case 6: the money is gone');
select is(tests.may_read('reader'), '{}', 'case 6: what was bought with it is closed');
select is(
    array[ledger.balance(ledger.platform_id(), 'issued'), ledger.balance(ledger.platform_id(), 'redeemed'),
        ledger.balance(ledger.platform_id(), 'royalties'), ledger.balance(ledger.platform_id(), 'sales')],
    '{0,0,0,0}'::bigint[], 'case 6: as if nothing had been');
select is_empty('select * from ledger.verify()', 'verify agrees when it is lost');
select tests.dispute('lost', 'won', 1000, 'needs_response'), tests.dispute('lost', 'won', 1000, 'lost');
select is(tests.money(), '0+0 | 0+0 | 0+0', 'once');
select tests.dispute('lost', 'won', 1000, 'won');
select is(tests.money(), '110+0 | 0+0 | 0+0', 'the bank changes its mind: the payer has all credits again');
select is(tests.at_stripe(), '{1000,0}'::bigint[], 'and we the money');
select is(tests.may_read('reader'), '{}', 'what was closed can be bought again');
select is_empty('select * from ledger.verify()', 'verify agrees with a change of mind');

-- Inquiries -----------------------------------------------------------------------------------
select note('before', tests.everything('{reader,creator,cowriter}')::text);
select tests.dispute('asked', 'won', 1000, 'warning_needs_response'), tests.dispute('asked', 'won', 1000, 'warning_under_review');
select is(tests.everything('{reader,creator,cowriter}'), noted('before')::jsonb, 'a question moves nothing');
select tests.dispute('asked', 'won', 1000, 'warning_closed');
select is(tests.disputes_of('won'), '{won 1000 110,won 1000 110,closed 1000 0}', 'nor does its end');
select tests.dispute('asked', 'won', 1000);
select is(tests.money(), '0+110 | 0+0 | 0+0', 'until it becomes a dispute');
select tests.dispute('asked', 'won', 1000, 'won');
select is(tests.money(), '110+0 | 0+0 | 0+0', 'which can be won');
select is(
    tests.dispute('odd', 'won', 1000, 'strange'), 'failed', 'a state that nobody knows is kept for the operator');
select is(
    (select e.error from app.stripe_events as e where e.object_id = 'dp_odd'),
    'Stripe speaks of a kind of dispute that is not known here. strange', 'with what it said');
select is(
    tests.deliver('charge.dispute.created', tests.dispute_object(payment('won'), 'none', 1, 'won', '{"payment_intent": null}')),
    'ignored', 'one without a payment is not ours');
select is_empty('select * from ledger.verify()', 'verify agrees with questions');

-- Refunds beside it ---------------------------------------------------------------------------
select tests.repay('won1', 'won', 400), tests.dispute('rest', 'won', 600, 'lost');
select is(tests.disputes_of('won') @> '{lost 600 66}', true, 'after a refund of 44 credits a dispute of the rest takes 66');
select is(tests.money(), '0+0 | 0+0 | 0+0', 'and nothing is left');
select tests.buy_credits('over', 'reader', 'Thousand');
select tests.repay('over1', 'over', 400), tests.dispute('over', 'over', 1000);
select is(tests.disputes_of('over'), '{open 1000 66}', 'a dispute of more than is left takes what is left');
select is(tests.at_stripe(), '{-400,1000}'::bigint[], 'though Stripe withholds all of it');
select tests.dispute('over', 'over', 1000, 'won');
select is(tests.money(), '66+0 | 0+0 | 0+0', 'and gives that back');
select tests.dispute('two', 'over', 300), tests.dispute('three', 'over', 300);
select is(tests.disputes_of('over'), '{won 1000 66,open 300 33,open 300 33}', 'two disputes share the rest');
select tests.dispute('two', 'over', 300, 'won'), tests.dispute('three', 'over', 300, 'lost');
select is(tests.money(), '33+0 | 0+0 | 0+0', 'one is won, one is lost');
select is_empty('select * from ledger.verify()', 'verify agrees with several at once');

-- One takeback is undone while another was cut short by it: the other has to take its place.
create function tests.afterwards(statements text)
returns text
language plpgsql volatile
as $$
declare
    v_money text;
begin
    perform tests.buy_credits('both', 'crowd1', 'Thousand');
    execute afterwards.statements;
    v_money := tests.money('crowd1') || ', ' || (select count(*) from ledger.verify());
    raise sqlstate 'UNDO0';
exception
    when sqlstate 'UNDO0' then
        return v_money;
end;
$$;
select is(
    tests.afterwards(format(
        $$ select tests.repay('both', 'both', %s, 'pending'), tests.dispute('both', 'both', 1000);
           select tests.repay('both', 'both', %s, 'failed'); select tests.dispute('both', 'both', 1000, %L) $$,
        cents, cents, status)), money, format('%s cents are refunded, disputed, and not refunded after all: %s', cents, status))
from (values
    (1000, 'under_review', '0+110 | 0+0 | 0+0, 0'), (1000, 'lost', '0+0 | 0+0 | 0+0, 0'), (500, 'lost', '0+0 | 0+0 | 0+0, 0')
) as v (cents, status, money);
select is(
    tests.afterwards(
        $$ select tests.dispute('both', 'both', 1000), tests.repay('both', 'both', 100);
           select tests.dispute('both', 'both', 1000, 'won') $$),
    '99+0 | 0+0 | 0+0, 0', 'case 1: 100 cents were refunded before a dispute that is won; the news of it came first');

-- Case 1: before the payment ------------------------------------------------------------------
select note('early', tests.start_payment('crowd1', 'Thousand')::text);
select is(
    array[tests.dispute('early', 'early', 1000), tests.repay('early', 'early', 100)], '{parked,parked}',
    'case 1: a dispute and a refund wait for their payment');
select tests.pay(payment('early'));
select is(tests.money('crowd1'), '0+110 | 0+0 | 0+0', 'case 1: then all three happen, in their order');
select tests.dispute('early', 'early', 1000, 'lost');
select is_empty('select * from ledger.verify()', 'case 1: verify agrees');

-- A sale paid from two payments, of which one is disputed --------------------------------------
create function tests.refund_sale(credits bigint default null)
returns bigint
language plpgsql volatile
as $$
declare
    v_taken bigint;
begin
    perform tests.authenticate_as_service('operator');
    select r.earned_microdollars into v_taken
    from api.refund_story_purchase(tests.user_id('friend'), tests.noted('unlock')::uuid, 'a mistake', credits) as r;
    perform tests.sign_out();
    return v_taken;
end;
$$;
select tests.buy_credits('thirty', 'friend', 'Thirty'), tests.buy_credits('twenty', 'friend', 'Twenty');
select note('unlock', (tests.buy('friend', tests.story_id('Story'), 'premium_unlock')).purchase_id::text);
select is(tests.money('friend'), '0+0 | 1166725+0 | 583275+0', 'a whole story for 50 credits from two payments');
select tests.dispute('thirty', 'thirty', 300);
select is(tests.money('friend'), '0+0 | 466690+700035 | 233310+349965', 'only the disputed part is frozen');
select is(tests.refund_sale(), -700000::bigint, 'the operator refunds the rest of the sale');
select is(tests.money('friend'), '20+0 | 0+700035 | 0+349965', 'which leaves what is frozen');
select is(cardinality(tests.may_read('friend')), 1, 'and what can be read');
select tests.dispute('thirty', 'thirty', 300, 'lost');
select is(tests.money('friend'), '20+0 | 0+0 | 0+0', 'lost: exactly nothing is left of it');
select is(tests.may_read('friend'), '{}', 'and it is closed');
select tests.repay('twenty', 'twenty', 200);
select is_empty('select * from ledger.verify()', 'verify agrees');
select tests.buy_credits('thirty2', 'friend', 'Thirty'), tests.buy_credits('twenty2', 'friend', 'Twenty');
select note('unlock', (tests.buy('friend', tests.story_id('Story'), 'premium_unlock')).purchase_id::text);
select is(tests.refund_sale(20), -700000::bigint, 'the other order: first the refund');
select tests.dispute('thirty2', 'thirty2', 300);
select is(tests.money('friend'), '20+0 | 0+700035 | 0+349965', 'then the dispute: the same');
select tests.dispute('thirty2', 'thirty2', 300, 'won');
select is(tests.money('friend'), '20+0 | 700035+0 | 349965+0', 'won: the authors have that part again');
select is(tests.refund_sale(), -1050000::bigint, 'until it is refunded as well');
select is(tests.money('friend'), '50+0 | 0+0 | 0+0', 'and exactly nothing is left');
select tests.dispute('thirty3', 'thirty2', 300, 'lost'), tests.dispute('twenty3', 'twenty2', 200, 'lost');
select is(tests.money('friend'), '0+0 | 0+0 | 0+0', 'refunded credits are their payment''s: a dispute takes them back');
select is_empty('select * from ledger.verify()', 'verify agrees in both orders');

-- Everything at random ------------------------------------------------------------------------
create function tests.any_one(items text[])
returns text
language sql volatile
return items[1 + floor(random() * cardinality(items))::integer];

-- One thing that can happen now, to whomever chance picks.
create function tests.something(number integer)
returns void
language plpgsql volatile
as $$
declare
    v_handle constant text := tests.any_one('{crowd1,crowd2,crowd3}');
    v_name constant text := 'n' || number;
    v_amount bigint;
    v_payment app.payments;
    v_refund_status constant text := tests.any_one('{pending,succeeded,failed}');
    v_dispute_status constant text := tests.any_one('{needs_response,won,lost}');
    v_object jsonb;
    v_sale uuid;
begin
    case floor(random() * 9)::integer
        when 0 then
            perform tests.buy_credits(v_name, v_handle, tests.any_one('{Thousand,Thirty,Twenty,Starter Pack}'));
        when 1, 2 then
            v_amount := least(tests.balance(v_handle), 1 + floor(random() * 40)::bigint);
            if v_amount > 0 then
                perform tests.spend(v_handle, v_amount, '{creator,cowriter}', '{6667,3333}');
            end if;
        when 3, 4 then
            -- A refund or a dispute of a part of a payment.
            select p.* into v_payment
            from app.payments as p
            where p.user_id = tests.user_id(v_handle) and p.status = 'succeeded' and app.refundable_cents(p) > 0
            order by random() limit 1;
            if found then
                v_amount := ceil(random() * app.refundable_cents(v_payment))::bigint;
                if random() < 0.5 then
                    perform tests.deliver('refund.created', tests.refund_object(
                        v_payment.id, v_name, v_amount, tests.any_one('{pending,succeeded}')));
                else
                    perform tests.deliver('charge.dispute.created', tests.dispute_object(
                        v_payment.id, v_name, v_amount, tests.any_one('{warning_needs_response,needs_response,lost}')));
                end if;
            end if;
        when 5, 6, 7 then
            -- News of one of them.
            select case o.kind
                when 'refund' then tests.refund_object(o.payment_id, o.name, o.amount_cents, v_refund_status)
                else tests.dispute_object(o.payment_id, o.name, o.amount_cents, v_dispute_status) end
            into v_object
            from (
                select 'refund' as kind, r.payment_id, substr(r.stripe_refund_id, 4) as name, r.amount_cents
                from app.refunds as r where r.user_id = tests.user_id(v_handle)
                union all
                select 'dispute', d.payment_id, substr(d.stripe_dispute_id, 4), d.amount_cents
                from app.disputes as d
                where d.user_id = tests.user_id(v_handle)
            ) as o
            order by random() limit 1;
            if found then
                perform tests.deliver('news', v_object);
            end if;
        else
            select s.transaction_id, s.amount - ledger.taken_credits(s.book_id, s.transaction_id, s.id) into v_sale, v_amount
            from ledger.transfers as s
            where s.book_id = tests.user_id(v_handle) and s.kind = 'spend'
                and s.amount > ledger.taken_credits(s.book_id, s.transaction_id, s.id)
            order by random() limit 1;
            if found then
                perform ledger.reverse(tests.user_id(v_handle), v_sale, ceil(random() * v_amount)::bigint);
            end if;
    end case;
end;
$$;

-- What verify said in the course of so many things, looked at after each 20.
create function tests.days(things integer)
returns text[]
language plpgsql volatile
as $$
declare
    v_seen text[] := '{}';
begin
    for i in 1 .. things loop
        perform tests.something(i);
        if i % 20 = 0 then
            v_seen := v_seen || array(select distinct v.check_name from ledger.verify() as v);
        end if;
    end loop;
    return array(select distinct s from unnest(v_seen) as s order by 1);
end;
$$;
select setseed(0.48);
select note('seen', tests.days(300)::text);
select ok(
    exists (select from ledger.recalls as r where r.from_sales > 0 and r.state = s), format('something was %s', s))
from unnest('{final,released,returned}'::text[]) as s;
select is(
    (select count(*) from app.stripe_events as e where e.state = 'failed' and e.type in ('news', 'refund.created', 'charge.dispute.created')
        and e.error not like '%is not known here%'), 0::bigint, 'nothing failed');
select is(noted('seen')::text[], '{}', '300 things at random: verify agreed after each 20');

-- Everything is taken back.
select tests.deliver('news', tests.refund_object(r.payment_id, substr(r.stripe_refund_id, 4), r.amount_cents))
from app.refunds as r where r.status = 'pending';
select tests.deliver('news', tests.dispute_object(d.payment_id, substr(d.stripe_dispute_id, 4), d.amount_cents, 'lost'))
from app.disputes as d where d.status = 'open';
select tests.deliver('refund.created', tests.refund_object(p.id, 'end_' || p.receipt_serial, app.refundable_cents(p)))
from app.payments as p where p.status = 'succeeded' and app.refundable_cents(p) > 0;
select results_eq(
    $$ select m.owner_id, m.kind, sum(m.amount)::bigint
       from ledger.transfers as t
       cross join lateral (values (t.debit_owner_id, t.debit_kind, -t.amount), (t.credit_owner_id, t.credit_kind, t.amount)) as m (owner_id, kind, amount)
       where m.kind not in ('stripe', 'sales')
       group by 1, 2 having sum(m.amount) <> 0 $$,
    $$ select null::uuid, null::text, null::bigint where false $$,
    'when all of it is taken back, everybody is at exactly 0');

select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
