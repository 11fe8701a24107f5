-- Events that came before the payment they are about.

create or replace function app.replay_parked_stripe_events()
returns integer
language sql volatile security definer
set search_path = ''
begin atomic
    select coalesce(sum(app.replay_waiting_stripe_events(w.waits_for)), 0)::integer
    from (
        select e.waits_for
        from app.stripe_events as e
        where e.state = 'parked'
            and exists (
                select from app.payments as p
                where (p.stripe_payment_intent_id = e.waits_for and p.status = 'succeeded')
                    or p.id = app.uuid_or_null(e.waits_for))
        group by e.waits_for
        order by min(e.received_at)
        limit 1
    ) as w;
end;
comment on function app.replay_parked_stripe_events() is $$Take up the parked events whose payment is there by now

Of one payment at a time, so that one payer's lock is never held while another's is waited for. A payment does this itself; this is for what was missed. The worker calls it. Returns how many there were.$$;
