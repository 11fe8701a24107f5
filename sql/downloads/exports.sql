-- Asking for a story as a file, and having it once per address.

create or replace function app.new_copy_code()
returns bigint
language sql volatile
set search_path = ''
return ('x' || lpad(encode(substring(uuid_send(gen_random_uuid()) from 1 for 6), 'hex'), 16, '0'))::bit(64)::bigint;
comment on function app.new_copy_code() is $$48 bits that nobody can guess$$;

create or replace function app.readable_chapters(user_id uuid, story_id uuid)
returns table (chapter_number integer, title text, content text)
language sql stable
set search_path = ''
begin atomic
    select c.chapter_number, c.title, x.content
    from app.chapters as c
    inner join app.chapter_texts as x on x.chapter_id = c.id
    where c.story_id = readable_chapters.story_id and c.status = 'published'
        and app.chapter_access(readable_chapters.user_id, c.story_id, c.chapter_number) in ('author', 'owned', 'free')
    order by c.chapter_number;
end;
comment on function app.readable_chapters(uuid, uuid) is $$What is published of a story and may be read by this person$$;

create or replace function app.request_export(
    story_id uuid, format text, idempotency_key text,
    out export_id uuid, out state text, out cost_credits bigint, out balance bigint, out downloads_left bigint,
    out resets_at timestamptz)
returns record
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := app.require_user();
    v_key constant text := coalesce(request_export.idempotency_key, ledger.header_key());
    v_arguments constant jsonb := jsonb_build_array(request_export.story_id, request_export.format);
    v_answer jsonb;
    v_receipt ledger.receipt;
    v_code bigint := app.new_copy_code();
begin
    if request_export.format is null or request_export.format not in ('markdown', 'html', 'epub') then
        perform app.fail(400, 'unknown_format', 'Stories come as markdown, html or epub.', request_export.format);
    end if;
    balance := ledger.lock_wallet(v_user_id);
    if v_key is not null then
        v_answer := ledger.replay(v_user_id, v_key, 'request_export', v_arguments);
    end if;
    if v_answer is not null then
        select a.export_id, a.state, a.cost_credits, a.balance, a.downloads_left, a.resets_at
        into export_id, request_export.state, request_export.cost_credits, request_export.balance, downloads_left,
            request_export.resets_at
        from jsonb_to_record(v_answer) as a (
            export_id uuid, state text, cost_credits bigint, balance bigint, downloads_left bigint, resets_at timestamptz);
        return;
    end if;
    if not exists (select from app.readable_chapters(v_user_id, request_export.story_id)) then
        perform app.fail(404, 'story_not_found', 'There is nothing of this story that you can read.');
    end if;
    select u.remaining, u.resets_at into downloads_left, request_export.resets_at
    from app.use_feature(v_user_id, 'downloads') as u;
    export_id := app.new_id();
    state := 'pending';
    select e.download_price_credits into strict request_export.cost_credits from app.economy as e;
    if cost_credits > 0 then
        v_receipt := ledger.reserve_credits(v_user_id, cost_credits, 'export', export_id);
        balance := v_receipt.balance_after;
    else
        balance := ledger.available_credits(v_user_id);
    end if;
    insert into app.exports (id, user_id, story_id, format, cost_credits, transaction_id, copy_code)
    values (
        export_id, v_user_id, request_export.story_id, request_export.format, cost_credits,
        v_receipt.transaction_id, greatest(v_code, 1));
    if v_key is not null then
        perform ledger.remember(
            v_user_id, v_key, 'request_export', v_arguments,
            jsonb_build_object(
                'export_id', export_id, 'state', state, 'cost_credits', cost_credits, 'balance', balance,
                'downloads_left', downloads_left, 'resets_at', resets_at));
    end if;
end;
$$;
comment on function app.request_export(uuid, text, text) is $$Ask for a story as a file, and set its price aside

Locks the caller's wallet. Errors: see api.request_export.$$;
grant execute on function app.request_export(uuid, text, text) to authenticated;

create or replace function app.make_export_link(export_id uuid, out path text, out expires_at timestamptz, out links_left integer)
returns record
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := app.require_user();
    -- 244 bits that cannot be guessed, in letters that an address may have.
    v_token constant text := replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
    v_limit constant integer := (select e.download_links from app.economy as e);
    v_export app.exports;
begin
    select e.* into v_export
    from app.exports as e
    where e.id = make_export_link.export_id and e.user_id = v_user_id
    for update;
    if not found then
        perform app.fail(404, 'export_not_found', 'There is no such download of yours.');
    elsif v_export.state = 'expired' or v_export.expires_at <= now() then
        perform app.fail(
            410, 'export_expired', 'This download has expired.', format('It could be had until %s.', v_export.expires_at));
    elsif v_export.state = 'failed' then
        perform app.fail(409, 'export_failed', 'This file could not be made. Its credits are back; please ask again.');
    elsif v_export.state = 'pending' then
        perform app.fail(409, 'export_not_ready', 'This file is still being made. Please wait a moment.');
    elsif v_export.links >= v_limit then
        perform app.fail(
            429, 'too_many_links', 'No more addresses are given out for this file.', format('There were %s of them.', v_limit));
    end if;
    -- Only the newest address is good.
    update app.export_links as l set used_at = now() where l.export_id = v_export.id and l.used_at is null;
    insert into app.export_links (token_hash, export_id) values (sha256(convert_to(v_token, 'utf8')), v_export.id);
    update app.exports as e set links = e.links + 1, updated_at = now() where e.id = v_export.id;
    path := '/downloads/' || v_token;
    expires_at := v_export.expires_at;
    links_left := v_limit - v_export.links - 1;
end;
$$;
comment on function app.make_export_link(uuid) is $$An address at which the caller's file can be had once

Errors: see api.make_export_link.$$;
grant execute on function app.make_export_link(uuid) to authenticated;

create or replace function app.take_download(
    token text, out file_name text, out media_type text, out content bytea)
returns record
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_link app.export_links;
    v_export app.exports;
begin
    -- The export first, as make_export_link has it; who throws the file away waits, or was before us.
    select e.* into v_export
    from app.exports as e
    where e.id = (
        select l.export_id from app.export_links as l
        where l.token_hash = sha256(convert_to(take_download.token, 'utf8')))
    for update;
    if not found then
        perform app.fail(404, 'download_not_found', 'There is no such download.');
    end if;
    select l.* into strict v_link
    from app.export_links as l
    where l.token_hash = sha256(convert_to(take_download.token, 'utf8'))
    for update;
    select f.content into take_download.content from app.export_files as f where f.export_id = v_export.id;
    if v_export.state <> 'ready' or v_export.expires_at <= now() or take_download.content is null then
        perform app.fail(410, 'export_expired', 'This download has expired.');
    elsif v_link.used_at is not null then
        perform app.fail(
            410, 'download_used', 'This address has been used.', 'Whose file it is can ask for another: make_export_link().');
    end if;
    update app.export_links as l set used_at = now() where l.token_hash = v_link.token_hash;
    update app.exports as e set downloads = e.downloads + 1, updated_at = now() where e.id = v_export.id;
    file_name := v_export.file_name;
    media_type := v_export.media_type;
end;
$$;
comment on function app.take_download(text) is $$The file of an address, once

For the edge. Errors: 404 download_not_found, 410 export_expired, 410 download_used.$$;
grant execute on function app.take_download(text) to edge;
