-- How covers can look: the words for the model, and who may change them.

create or replace function app.prompt_words(value text)
returns text
language sql immutable
set search_path = ''
return btrim(regexp_replace(translate(prompt_words.value, '"<>', ''''), '[[:space:][:cntrl:]]+', ' ', 'g'));
comment on function app.prompt_words(text) is $$Somebody's words as a part of a prompt

One line, without what a WebUI takes for a command: angle brackets load models there, and straight double quotes are for the title.$$;

create or replace function app.cover_prompt(style app.cover_styles, story app.stories, wish text)
returns text
language sql stable
set search_path = ''
return app.fill_in(
    case btrim(app.prompt_words(cover_prompt.wish), ' ,')
        -- Without a wish its comma goes as well.
        when '' then replace((cover_prompt.style).prompt, ', {wish}', '')
        else (cover_prompt.style).prompt
    end,
    jsonb_build_object(
        'title', app.prompt_words((cover_prompt.story).title),
        'genre', app.prompt_words((cover_prompt.story).genre),
        'wish', btrim(app.prompt_words(cover_prompt.wish), ' ,')));
comment on function app.cover_prompt(app.cover_styles, app.stories, text) is $$What the model is told

The style's words, with the story's title and genre and the author's wish.$$;

create or replace function app.audit_cover_style()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    if tg_op = 'UPDATE' then
        new.updated_at := now();
    end if;
    perform app.audit(
        'change_cover_style', coalesce(new.style, old.style),
        jsonb_build_object('before', to_jsonb(old), 'after', to_jsonb(new)));
    return coalesce(new, old);
end;
$$;
comment on function app.audit_cover_style() is $$Trigger: every change of how covers are made is on record$$;

create or replace trigger tg_cover_styles__audit
before insert or update or delete on app.cover_styles
for each row execute function app.audit_cover_style();
