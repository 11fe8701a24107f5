-- Who did what, under which claim.

create or replace function app.audit(action text, subject text, details jsonb default '{}')
returns void
language plpgsql volatile
set search_path = ''
as $$
begin
    insert into app.audit_log (actor_id, actor_role, claims, action, subject, details)
    values (
        app.current_user_id(),
        coalesce(app.claims() ->> 'role', session_user),
        -- Who it was, not how to reach them: this log outlives its people.
        (select coalesce(jsonb_object_agg(c.key, c.value), '{}')
            from jsonb_each(app.claims()) as c
            where c.key in ('sub', 'iss', 'aud', 'role', 'session_id')),
        audit.action, audit.subject, audit.details);
end;
$$;
comment on function app.audit(text, text, jsonb) is $$Note a privileged action

Without claims (psql, the command line) the login's name stands as the role.$$;

create or replace function app.audit_economy()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    perform app.audit(
        'change_economy', null,
        jsonb_build_object('before', to_jsonb(old) - 'is_only_row', 'after', to_jsonb(new) - 'is_only_row'));
    new.updated_at := now();
    return new;
end;
$$;
comment on function app.audit_economy() is $$Trigger: every change of a policy number is on record$$;

create or replace trigger tg_economy__audit
before update on app.economy
for each row execute function app.audit_economy();

create or replace function app.month_of(at timestamptz)
returns date
language sql stable
set search_path = ''
return (
    select date_trunc('month', month_of.at at time zone e.business_time_zone)::date
    from app.economy as e
);
comment on function app.month_of(timestamptz) is $$The business month of an instant, as its first day

Counted in the time zone of app.economy, whatever the session's is.$$;
grant execute on function app.month_of(timestamptz) to anon, authenticated, service_role;

create or replace function app.check_business_time_zone()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    if not exists (select from pg_catalog.pg_timezone_names as z where z.name = new.business_time_zone) then
        perform app.fail(
            400, 'unknown_time_zone', 'This is not a time zone that PostgreSQL knows.', new.business_time_zone);
    end if;
    return new;
end;
$$;
comment on function app.check_business_time_zone() is $$Trigger: a misspelt time zone must not stop every report$$;

create or replace trigger tg_economy__time_zone
before update of business_time_zone on app.economy
for each row execute function app.check_business_time_zone();
