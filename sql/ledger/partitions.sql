-- Partitions of ledger.transfers: one a month, by the time in the id.

create or replace function ledger.id_floor(at timestamptz)
returns uuid
language sql immutable
set search_path = ''
return (
    lpad(to_hex((extract(epoch from id_floor.at) * 1000)::bigint), 12, '0') || '00000000000000000000'
)::uuid;
comment on function ledger.id_floor(timestamptz) is $$The lowest id of that millisecond$$;
grant execute on function ledger.id_floor(timestamptz) to anon, authenticated, service_role;

create or replace function ledger.ensure_partitions(months_ahead integer default 3)
returns integer
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_month timestamptz;
    v_name text;
    v_made integer := 0;
begin
    for i in 0 .. ensure_partitions.months_ahead loop
        v_month := (date_trunc('month', now() at time zone 'UTC') + make_interval(months => i)) at time zone 'UTC';
        v_name := 'transfers_' || to_char(v_month at time zone 'UTC', 'YYYY_MM');
        continue when to_regclass(format('ledger.%I', v_name)) is not null;
        -- A month whose rows already lie in the default partition stays there; verify() says so.
        continue when exists (
            select from ledger.transfers_default as t
            where t.id >= ledger.id_floor(v_month)
                and t.id < ledger.id_floor((v_month at time zone 'UTC' + interval '1 month') at time zone 'UTC'));
        execute format(
            'create table ledger.%I partition of ledger.transfers for values from (%L) to (%L)',
            v_name, ledger.id_floor(v_month),
            ledger.id_floor((v_month at time zone 'UTC' + interval '1 month') at time zone 'UTC'));
        execute format('alter table ledger.%I enable row level security', v_name);
        execute format(
            'comment on table ledger.%I is %L',
            v_name, format('Movements of %s (UTC).', to_char(v_month at time zone 'UTC', 'YYYY-MM')));
        -- Row triggers come with the parent, this one does not.
        execute format(
            'create trigger %I before truncate on ledger.%I for each statement execute function app.refuse_change()',
            'tg_' || v_name || '__no_truncate', v_name);
        v_made := v_made + 1;
    end loop;
    return v_made;
end;
$$;
comment on function ledger.ensure_partitions(integer) is $$Make the partitions of this month and of so many to come

Returns how many were made. The worker and every deploy call it.$$;
