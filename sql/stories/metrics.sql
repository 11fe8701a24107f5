-- Story metrics, kept by triggers on the chapters (IP14).

create or replace function app.count_words(content text)
returns integer
language sql immutable
set search_path = ''
return coalesce(cardinality(regexp_split_to_array(nullif(btrim(count_words.content, E' \t\r\n'), ''), '\s+')), 0);
comment on function app.count_words(text) is $$Words of a text, as split by white space$$;

create or replace function app.refresh_story_metrics()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
    update app.stories as s
    set word_count = m.words,
        chapter_count = m.chapters,
        total_tokens_used = m.tokens + s.logged_tokens,
        total_cost_microdollars = m.cost + s.logged_cost_microdollars,
        updated_at = now()
    from (
        select
            count(*)::integer as chapters,
            coalesce(sum(c.word_count), 0)::integer as words,
            coalesce(sum(c.tokens_used), 0)::bigint as tokens,
            coalesce(sum(c.generation_cost_microdollars), 0)::bigint as cost
        from app.chapters as c
        where c.story_id = coalesce(new.story_id, old.story_id)
    ) as m
    where s.id = coalesce(new.story_id, old.story_id)
        and (s.word_count, s.chapter_count, s.total_tokens_used, s.total_cost_microdollars)
        is distinct from (
            m.words, m.chapters, m.tokens + s.logged_tokens, m.cost + s.logged_cost_microdollars);
    return null;
end;
$$;
comment on function app.refresh_story_metrics() is $$Trigger: a story's counts are those of its chapters

Tokens and costs with what the logs of generations add.$$;

create or replace trigger tg_chapters__metrics
after insert or update or delete on app.chapters
for each row execute function app.refresh_story_metrics();

create or replace function app.refuse_delete()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    perform app.fail(
        409, 'cannot_delete', format('Rows of %I.%I may have been sold and stay.', tg_table_schema, tg_table_name),
        'Archive the story instead.');
    return null;
end;
$$;
comment on function app.refuse_delete() is $$Trigger: what people paid for is not deleted$$;

create or replace trigger tg_stories__no_delete
before delete on app.stories
for each row execute function app.refuse_delete();
create or replace trigger tg_chapters__no_delete
before delete on app.chapters
for each row execute function app.refuse_delete();
create or replace trigger tg_chapter_texts__no_delete
before delete on app.chapter_texts
for each row execute function app.refuse_delete();
create or replace trigger tg_story_purchases__append_only
before update or delete on app.story_purchases
for each row execute function app.refuse_change();
create or replace trigger tg_story_purchases__no_truncate
before truncate on app.story_purchases
for each statement execute function app.refuse_change();
create or replace trigger tg_stories__no_truncate
before truncate on app.stories
for each statement execute function app.refuse_delete();
create or replace trigger tg_chapters__no_truncate
before truncate on app.chapters
for each statement execute function app.refuse_delete();
create or replace trigger tg_chapter_texts__no_truncate
before truncate on app.chapter_texts
for each statement execute function app.refuse_delete();
