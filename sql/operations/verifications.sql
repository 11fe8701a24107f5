-- verify() reads everything. What it found last is kept, so that anybody can ask how the ledger is.

create or replace function app.run_verification()
returns setof ledger.violation
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    c_most_kept constant integer := 100;
    v_began_at constant timestamptz := clock_timestamp();
    -- One statement, so one snapshot, and no number of a transaction while it reads: folds go on.
    v_found constant ledger.violation[] := array(select v from ledger.verify() as v);
begin
    -- A standby can be verified as well. It just cannot keep what was found.
    if current_setting('transaction_read_only') = 'off' then
        insert into app.verifications (began_at, ended_at, violations, found)
        values (
            v_began_at, clock_timestamp(), cardinality(v_found),
            coalesce((select jsonb_agg(to_jsonb(f)) from unnest(v_found[1:c_most_kept]) as f), '[]'));
    end if;
    return query select f.check_name, f.subject, f.detail from unnest(v_found) as f;
end;
$$;
comment on function app.run_verification() is $$Prove every invariant, and keep what was found

As ledger.verify(), with a row in app.verifications.$$;

create or replace function app.verify_when_due()
returns bigint
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_last_at constant timestamptz := (select v.ended_at from app.verifications as v order by v.id desc limit 1);
begin
    if v_last_at > now() - interval '1 day' then
        return null;
    end if;
    return (select count(*) from app.run_verification());
end;
$$;
comment on function app.verify_when_due() is $$Run verify once a day: the worker asks every ten minutes

Returns how many violations there are; null when it was not due.$$;

create or replace trigger tg_verifications__append_only
before update or delete on app.verifications
for each row execute function app.refuse_change();
create or replace trigger tg_verifications__no_truncate
before truncate on app.verifications
for each statement execute function app.refuse_change();
