-- Making the files: the worker packs what is handed out here.

create or replace function app.most_export_attempts()
returns integer
language sql immutable
set search_path = ''
return 5;
comment on function app.most_export_attempts() is $$How often a file is tried in all$$;

create or replace function app.claim_export()
returns table (export_id uuid, format text)
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_lost_id uuid;
begin
    -- Whoever tried these never came back to say why. Not locked here: the wallet comes first.
    for v_lost_id in
        select e.id
        from app.exports as e
        where e.state = 'pending' and e.run_at <= now() and e.attempts >= app.most_export_attempts()
        order by e.run_at, e.id
        limit 100
    loop
        perform app.fail_export(v_lost_id, 'Whoever tried to make this file never came back.', true);
    end loop;
    return query
    update app.exports as e
    set attempts = e.attempts + 1, run_at = now() + interval '60 seconds', updated_at = now()
    where e.id = (
        select d.id
        from app.exports as d
        where d.state = 'pending' and d.run_at <= now() and d.attempts < app.most_export_attempts()
        order by d.run_at, d.id
        limit 1
        for update skip locked)
    returning e.id, e.format;
end;
$$;
comment on function app.claim_export() is $$The next file to be made, for the worker

It is theirs for 60 seconds; whoever dies meanwhile leaves it to the next. Counts the attempt, so commit before export_content(): what goes wrong there was an attempt too. What was tried five times, and nobody said how that went, fails here.$$;

create or replace function app.export_content(export_id uuid)
returns table (
    title text, author text, language text, description text, copy_line text, identifier text, chapters jsonb)
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    c_most_bytes constant bigint := 50000000;
    v_export app.exports;
    v_bytes bigint;
begin
    select e.* into v_export from app.exports as e where e.id = export_content.export_id and e.state = 'pending';
    if not found then
        return;
    end if;
    select coalesce(sum(octet_length(c.content)), 0) into v_bytes
    from app.readable_chapters(v_export.user_id, v_export.story_id) as c;
    if v_bytes > c_most_bytes then
        perform app.fail(
            400, 'text_too_long', 'The story is too long for a file.',
            format('It has %s MB of text; %s MB are the most.', ceil(v_bytes / 1000000.0), c_most_bytes / 1000000));
    end if;
    -- A long text is read for longer.
    update app.exports as e
    set run_at = now() + interval '60 seconds' + interval '20 seconds' * (v_bytes / 1000000)
    where e.id = v_export.id and e.state = 'pending';
    return query
    select
        s.title,
        coalesce(
            (select string_agg(coalesce(p.display_name, p.handle), ', ' order by a.rank)
                from app.story_authors as a
                inner join app.profiles as p on p.id = a.creator_id
                where a.story_id = s.id), ''),
        s.language, s.description,
        (select format('This copy was made for %s on %s. Copy %s.',
                coalesce(p.display_name || ' (' || p.handle || ')', p.handle),
                to_char(now() at time zone 'UTC', 'YYYY-MM-DD'), upper(to_hex(v_export.copy_code)))
            from app.profiles as p
            where p.id = v_export.user_id),
        'urn:uuid:' || v_export.id,
        coalesce((
            select jsonb_agg(
                jsonb_build_object(
                    'number', c.chapter_number, 'title', c.title,
                    'content', app.weave_watermark(c.content, v_export.copy_code))
                order by c.chapter_number)
            from app.readable_chapters(v_export.user_id, s.id) as c), '[]')
    from app.stories as s
    where s.id = v_export.story_id;
end;
$$;
comment on function app.export_content(uuid) is $$All that belongs into a file that was claimed, for the worker

Nothing when it is not waited for any more. The texts are marked already; `copy_line` says visibly whose copy it is. A long text makes the claim longer. Errors: 400 text_too_long.$$;

create or replace function app.finish_export(export_id uuid, file_name text, media_type text, content bytea, chapters integer)
returns boolean
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_export constant app.exports := app.lock_export(finish_export.export_id);
begin
    if v_export.state is distinct from 'pending' then
        return false;
    end if;
    insert into app.export_files (export_id, content) values (v_export.id, finish_export.content);
    if v_export.transaction_id is not null then
        perform ledger.capture_reservation(v_export.user_id, v_export.transaction_id);
    end if;
    update app.exports as e
    set state = 'ready', file_name = finish_export.file_name, media_type = finish_export.media_type,
        bytes = octet_length(finish_export.content), chapters = finish_export.chapters, error_message = null,
        ready_at = now(), updated_at = now(),
        expires_at = now() + make_interval(hours => (select o.download_hours from app.economy as o))
    where e.id = v_export.id;
    perform app.tell_of_export(v_export, 'download_ready', 0);
    return true;
end;
$$;
comment on function app.finish_export(uuid, text, text, bytea, integer) is $$The file is there, and its credits are spent: once

False: somebody else was quicker.$$;

create or replace function app.fail_export(export_id uuid, message text, is_permanent boolean)
returns text
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_export constant app.exports := app.lock_export(fail_export.export_id);
    v_returned bigint := 0;
begin
    if v_export.state is distinct from 'pending' then
        return v_export.state;
    elsif not fail_export.is_permanent and v_export.attempts < app.most_export_attempts() then
        update app.exports as e
        set error_message = left(fail_export.message, 1000), updated_at = now(),
            run_at = now() + interval '5 seconds' * power(2, e.attempts) * (0.5 + random() / 2)
        where e.id = v_export.id;
        return 'pending';
    end if;
    if v_export.transaction_id is not null then
        v_returned := ledger.release_reservation(v_export.user_id, v_export.transaction_id);
    end if;
    perform app.give_back_feature(v_export.user_id, 'downloads', 1, v_export.created_at);
    update app.exports as e
    set state = 'failed', error_message = left(fail_export.message, 1000), updated_at = now()
    where e.id = v_export.id;
    perform app.tell_of_export(v_export, 'download_failed', v_returned);
    return 'failed';
end;
$$;
comment on function app.fail_export(uuid, text, boolean) is $$A file could not be made this time

Five times in all; then, and at once where it is permanent, its credits go back and it does not count. Returns the state.$$;

create or replace function app.lock_export(export_id uuid)
returns app.exports
language plpgsql volatile
set search_path = ''
as $$
declare
    v_user_id uuid;
    v_export app.exports;
begin
    select e.user_id into v_user_id from app.exports as e where e.id = lock_export.export_id;
    if found then
        perform ledger.lock_wallet(v_user_id);
        select e.* into v_export from app.exports as e where e.id = lock_export.export_id for update;
    end if;
    return v_export;
end;
$$;
comment on function app.lock_export(uuid) is $$An export, locked after its payer's wallet

Nothing when there is no such export.$$;

create or replace function app.tell_of_export(export app.exports, kind text, credits_returned bigint)
returns void
language plpgsql volatile
set search_path = ''
as $$
begin
    perform app.notify(
        (tell_of_export.export).user_id, tell_of_export.kind,
        format('%s %s', tell_of_export.kind, (tell_of_export.export).id),
        jsonb_build_object(
            'export_id', (tell_of_export.export).id, 'story_id', (tell_of_export.export).story_id,
            'title', (select s.title from app.stories as s where s.id = (tell_of_export.export).story_id),
            'credits', tell_of_export.credits_returned,
            'until', (
                select to_char(e.expires_at at time zone o.business_time_zone, 'FMDD FMMonth YYYY, HH24:MI')
                from app.exports as e
                cross join app.economy as o
                where e.id = (tell_of_export.export).id)));
end;
$$;
comment on function app.tell_of_export(app.exports, text, bigint) is $$Tell a reader that a file is ready, or that it will not come$$;

create or replace function app.expire_exports()
returns integer
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_ids uuid[];
begin
    select array_agg(d.id) into v_ids
    from (
        select e.id from app.exports as e
        where e.state = 'ready' and e.expires_at <= now()
        order by e.expires_at
        limit 1000
        for update skip locked
    ) as d;
    delete from app.export_files as f where f.export_id = any (v_ids);
    update app.exports as e set state = 'expired', updated_at = now() where e.id = any (v_ids);
    return coalesce(cardinality(v_ids), 0);
end;
$$;
comment on function app.expire_exports() is $$Throw away the files whose time is over

Returns how many. The worker calls it.$$;

create or replace function app.check_exports()
returns setof ledger.violation
language sql stable
set search_path = ''
begin atomic
    select 'export_reservation', format('export %s', e.id),
        format('it is %s for %s credits; its reservation is %s of %s',
            e.state, e.cost_credits, coalesce(r.state, 'not there'), coalesce(r.credits, 0))
    from app.exports as e
    left join ledger.reservations as r on r.book_id = e.user_id and r.id = e.transaction_id
    where e.transaction_id is not null
        and (r.credits is distinct from e.cost_credits
            or r.state is distinct from case e.state
                when 'pending' then 'held' when 'failed' then 'released' else 'captured' end)
    union all
    select 'export_sale_without_export', format('%s transaction %s', t.book_id, t.transaction_id),
        format('%s credits were set aside and no export says for what', t.amount)
    from ledger.transfers as t
    where t.kind = 'spend' and t.reference_type = 'export'
        and not exists (
            select from app.exports as e
            where e.transaction_id = t.transaction_id and e.user_id = t.book_id and e.id = t.reference_id)
    union all
    select 'export_file', format('export %s', e.id), format('it is %s, and its file is %s', e.state,
        case when f.export_id is null then 'not there' else 'there' end)
    from app.exports as e
    left join app.export_files as f on f.export_id = e.id
    where (e.state = 'ready') <> (f.export_id is not null);
end;
comment on function app.check_exports() is $$Every download was paid for once, and what could not be made cost nothing$$;
