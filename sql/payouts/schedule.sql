-- The clock of the month's end: pg_cron's where it is installed, else the worker's.

create or replace function app.may_use_pg_cron()
returns boolean
language sql stable
set search_path = ''
return exists (select from pg_catalog.pg_extension as x where x.extname = 'pg_cron')
    and coalesce(has_schema_privilege(to_regnamespace('cron')::oid, 'usage'), false);
comment on function app.may_use_pg_cron() is $$Whether pg_cron is here, and this login may use it$$;

create or replace function app.is_month_closing_scheduled()
returns boolean
language plpgsql stable
set search_path = ''
as $$
declare
    v_query constant text := 'select exists (
        select from cron.job as j
        where j.jobname = $1 and j.active and j.database = current_database()
            and coalesce((
                select d.status <> ''failed''
                from cron.job_run_details as d
                where d.jobid = j.jobid
                order by d.runid desc
                limit 1), true))';
    v_is_scheduled boolean := false;
begin
    if app.may_use_pg_cron() then
        execute v_query into v_is_scheduled using 'infinite pages: close the month';
    end if;
    return v_is_scheduled;
end;
$$;
comment on function app.is_month_closing_scheduled() is $$Whether pg_cron closes the month

Not while its last run failed: a job that cannot log in must not keep everybody waiting. pg_cron shows a login its own jobs only: the worker has to be the login that deploys, or both close the month, which does no harm.$$;

create or replace function app.schedule_month_closing()
returns text
language plpgsql volatile
set search_path = ''
as $$
declare
    c_name constant text := 'infinite pages: close the month';
    v_query constant text := '
        select cron.schedule($1, $2, $3)
        where not exists (select from cron.job as j where j.jobname = $1 and j.database = current_database())';
begin
    if not app.may_use_pg_cron() then
        return 'the worker closes the month';
    end if;
    execute v_query using c_name, '* * * * *', 'select app.close_due_month()';
    return 'pg_cron closes the month';
end;
$$;
comment on function app.schedule_month_closing() is $$Let pg_cron close the month, where it is installed

Called by every deploy, with the rights of the login that deploys: pg_cron runs the job as that login. A job that is there already keeps its schedule.$$;
