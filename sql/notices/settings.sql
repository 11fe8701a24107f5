-- Where a person's notices go, and whether they want mail.

create or replace function app.notice_mail_address(user_id uuid)
returns text
language sql stable
set search_path = ''
return (
    select s.email
    from app.notice_settings as s
    where s.user_id = notice_mail_address.user_id and s.by_email
);
comment on function app.notice_mail_address(uuid) is $$Where to mail a person's notices; null for who has no address or wants none$$;

create or replace function app.claimed_mail_address()
returns text
language sql stable
set search_path = ''
return (
    select c.email
    from (select app.claimed_email() as email) as c
    where
        -- Neither what could be taken for two addresses, nor what is written in another way in mails.
        c.email ~ '^[^@[:space:][:cntrl:]<>(),;:"\\\[\]]+@[^@[:space:][:cntrl:]<>(),;:"\\\[\]]+$'
        and c.email !~ '=[?]'
        and octet_length(split_part(c.email, '@', 1)) = length(split_part(c.email, '@', 1))
        and length(c.email) <= 254
        and app.claims() ->> 'email_verified' is distinct from 'false'
);
comment on function app.claimed_mail_address() is $$The address in the caller's token, if mail can go there

Null without one, for what no mail server takes, and when the issuer says that it is not verified.$$;

create or replace function app.remember_notice_address()
returns void
language plpgsql volatile
set search_path = ''
as $$
declare
    v_user_id constant uuid := app.current_user_id();
    v_email constant text := app.claimed_mail_address();
begin
    if v_user_id is null or v_email is null
        or exists (select from app.notice_settings as s where s.user_id = v_user_id and s.email = v_email)
    then
        return;
    end if;
    perform app.ensure_profile(v_user_id);
    insert into app.notice_settings (user_id, email)
    values (v_user_id, v_email)
    on conflict on constraint notice_settings_pkey do update
    set email = excluded.email, updated_at = now();
end;
$$;
comment on function app.remember_notice_address() is $$Keep the address in the caller's token for their notices

A token without an address changes nothing.$$;

create or replace function app.update_notice_settings(by_email boolean)
returns boolean
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := app.require_user();
    v_by_email boolean;
begin
    perform app.remember_notice_address();
    insert into app.notice_settings as s (user_id, by_email)
    values (v_user_id, coalesce(update_notice_settings.by_email, true))
    on conflict on constraint notice_settings_pkey do update
    set by_email = coalesce(update_notice_settings.by_email, s.by_email), updated_at = now()
    returning s.by_email into v_by_email;
    return v_by_email;
end;
$$;
comment on function app.update_notice_settings(boolean) is $$Whether the caller wants their notices by mail

Null keeps what is set. Returns what holds now. Errors: 401 login_required.$$;
grant execute on function app.update_notice_settings(boolean) to authenticated;
