-- The public contract of operations: for the service role.

create or replace function api.operations_summary()
returns jsonb
language sql stable
set search_path = ''
begin atomic
    select app.operations_summary();
end;
comment on function api.operations_summary() is $$How everything is: payments, webhooks, queues, payouts, the ledger

For the service role only. `payments` of the last hour and day; `webhooks`, the inbox; `outbox`, what Stripe still has to be asked; `payouts` by state and the last month's batch; `queues` of covers, exports, generations and mail; `cache` of the last day; `ledger`, its fold, seal and partitions; `archive` of the database's journal; `verification`, the last run of verify. `solvency`, `last_day` and `subscriptions` are as the worker noted them `noted_seconds` ago. Ages in seconds, amounts in the unit that their name says.$$;
grant execute on function api.operations_summary() to service_role;
