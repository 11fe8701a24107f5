-- When movements landed in the default partition because nobody had made their month's in time.

create or replace function app.empty_default_partition()
returns bigint
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_id uuid;
    v_month timestamp;
    v_floor uuid := ledger.platform_id();
    v_name text;
    v_moved bigint;
begin
    lock table ledger.transfers in access exclusive mode;
    -- While it is attached, no month of which it has rows can get a partition.
    alter table ledger.transfers detach partition ledger.transfers_default;
    loop
        select t.id into v_id from ledger.transfers_default as t where t.id >= v_floor order by t.id limit 1;
        exit when not found;
        -- The id says which month it is: its first 48 bits are milliseconds.
        v_month := date_trunc('month', to_timestamp(
            ('x' || left(replace(v_id::text, '-', ''), 12))::bit(48)::bigint / 1000.0) at time zone 'UTC');
        v_floor := ledger.id_floor((v_month + interval '1 month') at time zone 'UTC');
        v_name := 'transfers_' || to_char(v_month, 'YYYY_MM');
        continue when to_regclass(format('ledger.%I', v_name)) is not null;
        execute format(
            'create table ledger.%I partition of ledger.transfers for values from (%L) to (%L)',
            v_name, ledger.id_floor(v_month at time zone 'UTC'), v_floor);
        execute format('alter table ledger.%I enable row level security', v_name);
        execute format('comment on table ledger.%I is %L', v_name, format('Movements of %s (UTC).', to_char(v_month, 'YYYY-MM')));
        execute format(
            'create trigger %I before truncate on ledger.%I for each statement execute function app.refuse_change()',
            'tg_' || v_name || '__no_truncate', v_name);
    end loop;
    insert into ledger.transfers select t.* from ledger.transfers_default as t;
    get diagnostics v_moved = row_count;
    -- What was copied is emptied, by the one who may switch the guard off. verify() would say so if it stayed off.
    alter table ledger.transfers_default disable trigger tg_transfers_default__no_truncate;
    truncate ledger.transfers_default;
    alter table ledger.transfers_default enable trigger tg_transfers_default__no_truncate;
    alter table ledger.transfers attach partition ledger.transfers_default default;
    return v_moved;
end;
$$;
comment on function app.empty_default_partition() is $$Move what is in the default partition to partitions of its months

Makes those that are missing. Nobody can buy or look meanwhile: a second for some hundred thousand rows. Nothing in a row is changed, so seals stay right. For the owner of the database. Returns how many rows were moved.$$;
