-- Profiles appear on first use; nobody has to register here.

create or replace function app.first_handle(user_id uuid)
returns text
language sql immutable
set search_path = ''
return 'u' || replace(first_handle.user_id::text, '-', '');
comment on function app.first_handle(uuid) is $$The handle of a person who has not chosen one$$;
grant execute on function app.first_handle(uuid) to authenticated, service_role;

create or replace function app.ensure_profile(user_id uuid)
returns void
language plpgsql volatile
set search_path = ''
as $$
begin
    insert into app.profiles (id, handle)
    values (ensure_profile.user_id, app.first_handle(ensure_profile.user_id))
    on conflict do nothing;
end;
$$;
comment on function app.ensure_profile(uuid) is $$Make the profile of a person who is new here

The handle is derived from the id until the person chooses one.$$;

create or replace function app.require_user()
returns uuid
language plpgsql volatile
set search_path = ''
as $$
declare
    v_user_id constant uuid := app.require_claimed_user();
    v_erased_at timestamptz;
begin
    select p.erased_at into v_erased_at from app.profiles as p where p.id = v_user_id;
    if not found then
        perform app.ensure_profile(v_user_id);
    elsif v_erased_at is not null then
        perform app.fail(403, 'account_erased', 'This account was erased. Please make a new one.');
    end if;
    return v_user_id;
end;
$$;
comment on function app.require_user() is $$The caller's id, with a profile behind it

Errors: 401 login_required, 403 account_erased.$$;

create or replace function app.require_text(value text, name text, longest integer)
returns text
language plpgsql immutable
set search_path = ''
as $$
declare
    v_value constant text := btrim(require_text.value, E' \t\r\n');
begin
    if v_value is null or v_value = '' then
        perform app.fail(400, 'text_required', format('Please give the %s.', require_text.name));
    end if;
    if length(v_value) > require_text.longest then
        perform app.fail(
            400, 'text_too_long', format('The %s is too long.', require_text.name),
            format('It has %s characters; at most %s are allowed.', length(v_value), require_text.longest));
    end if;
    return v_value;
end;
$$;
comment on function app.require_text(text, text, integer) is $$A text that is there and not too long

Errors: 400 text_required, 400 text_too_long.$$;

create or replace function app.update_profile(handle text, display_name text, bio text, avatar_url text)
returns uuid
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := app.require_user();
begin
    if update_profile.handle !~ '^[a-z0-9_]{3,40}$' then
        perform app.fail(
            400, 'invalid_handle', 'A handle has 3 to 40 lower-case letters, digits or underscores.');
    end if;
    -- A first handle is made from its owner's id: nobody else may take it before they come.
    if update_profile.handle ~ '^u[0-9a-f]{32}$' and update_profile.handle <> app.first_handle(v_user_id) then
        perform app.fail(409, 'handle_taken', 'This handle belongs to somebody else.');
    end if;
    if update_profile.avatar_url !~ '^(https://[^[:space:]]+)?$' then
        perform app.fail(400, 'invalid_avatar_url', 'The picture''s address must begin with https://.');
    end if;
    update app.profiles as p
    set handle = coalesce(update_profile.handle, p.handle),
        display_name = case
            when update_profile.display_name is null then p.display_name
            when update_profile.display_name = '' then null
            else app.require_text(update_profile.display_name, 'display name', 80) end,
        bio = case
            when update_profile.bio is null then p.bio
            when update_profile.bio = '' then null
            else app.require_text(update_profile.bio, 'bio', 2000) end,
        avatar_url = case
            when update_profile.avatar_url is null then p.avatar_url
            when update_profile.avatar_url = '' then null
            else app.require_text(update_profile.avatar_url, 'avatar address', 500) end,
        updated_at = now()
    where p.id = v_user_id;
    return v_user_id;
exception
    when unique_violation then
        perform app.fail(409, 'handle_taken', 'This handle belongs to somebody else.');
        return null;
end;
$$;
comment on function app.update_profile(text, text, text, text) is $$Change the caller's own profile

Null keeps what is there, an empty text removes it. Errors: 400 invalid_handle, 400 invalid_avatar_url, 400 text_too_long, 401, 409 handle_taken.$$;
grant execute on function app.update_profile(text, text, text, text) to authenticated, service_role;
