-- Money records are never changed: refused by privilege and, for whoever has it, by trigger.

create or replace function app.refuse_change()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    perform app.fail(
        403, 'append_only', format('Rows of %I.%I are never changed or removed.', tg_table_schema, tg_table_name),
        'Post a new row that corrects the old one.');
    return null;
end;
$$;
comment on function app.refuse_change() is $$Trigger: this table only grows

Also on views that PostgreSQL cannot write through by itself: with it, a write is refused for want of the privilege, as everywhere.$$;

create or replace trigger tg_audit_log__append_only
before update or delete on app.audit_log
for each row execute function app.refuse_change();
create or replace trigger tg_audit_log__no_truncate
before truncate on app.audit_log
for each statement execute function app.refuse_change();
