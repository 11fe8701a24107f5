-- How payments are doing, for whoever looks after them.

create or replace function app.payment_figures(
    days integer,
    out started bigint, out succeeded bigint, out failed bigint, out canceled bigint, out waiting bigint,
    out success_basis_points bigint, out charged_cents bigint, out refunded_cents bigint, out disputed_cents bigint,
    out failure_reasons jsonb, out events_parked bigint, out events_failed bigint, out requests_pending bigint,
    out slowest_webhook_seconds bigint)
returns record
language plpgsql stable security definer
set search_path = ''
as $$
declare
    v_since timestamptz;
begin
    if payment_figures.days is null or payment_figures.days not between 1 and 3660 then
        perform app.fail(400, 'invalid_days', 'Please ask for 1 to 3660 days.');
    end if;
    v_since := now() - make_interval(days => payment_figures.days);
    select
        count(*),
        count(*) filter (where p.status = 'succeeded'),
        count(*) filter (where p.status = 'failed'),
        count(*) filter (where p.status = 'canceled'),
        count(*) filter (where p.status in ('pending', 'processing')),
        count(*) filter (where p.status = 'succeeded') * 10000
        / nullif(count(*) filter (where p.status in ('succeeded', 'failed')), 0),
        coalesce(sum(p.amount_cents) filter (where p.status = 'succeeded'), 0)
    into started, succeeded, failed, canceled, waiting, success_basis_points, charged_cents
    from app.payments as p
    where p.created_at >= v_since;
    failure_reasons := coalesce((
        select jsonb_object_agg(f.code, f.payments)
        from (
            select coalesce(p.failure_code, 'unknown') as code, count(*) as payments
            from app.payments as p
            where p.created_at >= v_since and p.status = 'failed'
            group by 1
        ) as f), '{}');
    refunded_cents := coalesce((
        select sum(r.amount_cents) from app.refunds as r where r.created_at >= v_since and r.status = 'succeeded'), 0);
    disputed_cents := coalesce((
        select sum(d.amount_cents) from app.disputes as d
        where d.created_at >= v_since and d.status in ('open', 'lost')), 0);
    select count(*) filter (where e.state = 'parked'), count(*) filter (where e.state = 'failed')
    into events_parked, events_failed
    from app.stripe_events as e
    where e.state in ('parked', 'failed');
    requests_pending := (select count(*) from app.stripe_requests as r where r.state = 'pending');
    slowest_webhook_seconds := (
        select ceil(extract(epoch from max(e.received_at - e.created_at)))::bigint
        from app.stripe_events as e
        where e.received_at >= v_since);
end;
$$;
comment on function app.payment_figures(integer) is $$Payments of the last days, and what waits for somebody

Errors: 400 invalid_days.$$;
grant execute on function app.payment_figures(integer) to service_role;
