-- Everything an operator looks at first, in one answer. It has to be cheap: monitoring asks it several times a minute.

create or replace function app.operations_summary()
returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
    v_noted constant jsonb := coalesce((select jsonb_object_agg(n.name, n.figures) from app.noted_figures as n), '{}');
begin
    return jsonb_build_object(
        'at', now(),
        'payments', app.payment_summary(),
        'webhooks', app.webhook_summary(),
        'outbox', app.outbox_summary(),
        'payouts', app.payout_summary(),
        'queues', app.queue_summary(),
        'cache', app.cache_summary(),
        'ledger', app.ledger_summary(),
        'archive', app.archive_summary(),
        'verification', (
            select jsonb_build_object(
                'violations', v.violations, 'ended_at', v.ended_at, 'age_seconds', app.seconds_since(v.ended_at),
                'took_seconds', ceil(extract(epoch from v.ended_at - v.began_at))::bigint)
            from app.verifications as v
            order by v.id desc
            limit 1),
        'noted_seconds', (select app.seconds_since(min(n.noted_at)) from app.noted_figures as n),
        'solvency', v_noted -> 'solvency',
        'last_day', v_noted -> 'movements',
        'subscriptions', v_noted -> 'subscriptions');
end;
$$;
comment on function app.operations_summary() is $$How everything is, for operators and for monitoring

Holds no person's data.$$;
grant execute on function app.operations_summary() to edge, service_role;
