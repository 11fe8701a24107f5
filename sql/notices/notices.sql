-- Telling people what happened to their money, in the transaction in which it happens.

create or replace function app.fill_in(template text, data jsonb)
returns text
language sql immutable
set search_path = ''
return (
    -- The text between the placeholders, each piece followed by what stands for the placeholder after it. What
    -- was put in is not looked at again.
    select string_agg(p.piece || coalesce(fill_in.data ->> n.names[1], ''), '' order by p.place)
    from regexp_split_to_table(fill_in.template, '\{[a-z_]+\}') with ordinality as p (piece, place)
    left join regexp_matches(fill_in.template, '\{([a-z_]+)\}', 'g') with ordinality as n (names, place)
        on n.place = p.place
);
comment on function app.fill_in(text, jsonb) is $$A text with its {placeholders} filled from the data

What the data do not have stays empty.$$;

create or replace function app.notify(user_id uuid, kind text, dedupe_key text, data jsonb default '{}')
returns uuid
language plpgsql volatile
set search_path = ''
as $$
declare
    c_longest_subject constant integer := 200;
    c_longest_body constant integer := 10000;
    v_id uuid := app.new_id();
    v_kind constant text := coalesce(notify.kind, 'notice');
    v_data constant jsonb := case jsonb_typeof(notify.data) when 'object' then notify.data else '{}' end;
    v_template app.notice_templates;
begin
    if notify.user_id is null then
        return null;
    end if;
    select t.* into v_template from app.notice_templates as t where t.kind = v_kind;
    if not found then
        v_template.subject := 'News about your account: ' || replace(v_kind, '_', ' ');
        v_template.body := 'Something about your account has changed. Please sign in to see what it is.';
        v_template.needs_action := false;
        v_template.is_mailed := true;
    end if;
    if not exists (select from app.profiles as p where p.id = notify.user_id) then
        perform app.ensure_profile(notify.user_id);
    end if;
    insert into app.notices (id, user_id, kind, subject, body, data, needs_action, dedupe_key, email_state)
    values (
        v_id, notify.user_id, v_kind,
        -- A subject is one line, whatever the data hold.
        left(btrim(regexp_replace(app.fill_in(v_template.subject, v_data), '[[:space:][:cntrl:]]+', ' ', 'g')), c_longest_subject),
        left(btrim(app.fill_in(v_template.body, v_data), E' \t\r\n'), c_longest_body),
        v_data, v_template.needs_action, coalesce(notify.dedupe_key, v_id::text),
        case when v_template.is_mailed and app.notice_mail_address(notify.user_id) is not null then 'pending' else 'none' end)
    on conflict on constraint notices_dedupe_key_key do nothing
    returning id into v_id;
    return v_id;
end;
$$;
comment on function app.notify(uuid, text, text, jsonb) is $$Tell a person something, once for each `dedupe_key`

In the words of app.notice_templates as they are now, filled from `data`. It refuses nothing: what has no template is told in general words. Returns the notice's id; null when they were told before, or when there is nobody to tell.$$;

create or replace function app.mark_notices_read(up_to uuid)
returns bigint
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := app.require_claimed_user();
    v_marked bigint;
begin
    update app.notices as n
    set read_at = now()
    where n.user_id = v_user_id and n.read_at is null
        and (mark_notices_read.up_to is null or n.id <= mark_notices_read.up_to);
    get diagnostics v_marked = row_count;
    return v_marked;
end;
$$;
comment on function app.mark_notices_read(uuid) is $$The caller has read their notices, up to one or all

Returns how many were new. Errors: 401 login_required.$$;
grant execute on function app.mark_notices_read(uuid) to authenticated;

create or replace function app.count_unread_notices(out unread bigint, out needing_action bigint)
returns record
language plpgsql stable security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := app.require_claimed_user();
begin
    select count(*), count(*) filter (where n.needs_action)
    into unread, needing_action
    from app.notices as n
    where n.user_id = v_user_id and n.read_at is null;
end;
$$;
comment on function app.count_unread_notices() is $$How many of the caller's notices are new

Errors: 401 login_required.$$;
grant execute on function app.count_unread_notices() to authenticated;

-- What people were told stays as it was.
create or replace trigger tg_notices__told_once
before update of id, user_id, kind, subject, body, data, needs_action, dedupe_key, created_at on app.notices
for each row execute function app.refuse_change();
-- Unless a person is forgotten: see app.erase_person().
create or replace trigger tg_notices__no_delete
before delete on app.notices
for each row when (current_setting('app.erasing', true) is distinct from 'on')
execute function app.refuse_change();
create or replace trigger tg_notices__no_truncate
before truncate on app.notices
for each statement execute function app.refuse_change();

create or replace function app.audit_notice_template()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    if tg_op = 'UPDATE' then
        new.updated_at := now();
    end if;
    perform app.audit(
        'change_notice_template', coalesce(new.kind, old.kind),
        jsonb_build_object('before', to_jsonb(old), 'after', to_jsonb(new)));
    return coalesce(new, old);
end;
$$;
comment on function app.audit_notice_template() is $$Trigger: every change of what notices say is on record$$;

create or replace trigger tg_notice_templates__audit
before insert or update or delete on app.notice_templates
for each row execute function app.audit_notice_template();
