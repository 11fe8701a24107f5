-- Drawing a cover is a generation too.

create or replace function app.log_cover_usage()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    perform app.log_ai_usage(
        new.user_id, 'cover', coalesce(new.model, 'unknown'), new.story_id,
        cost_microdollars => (select e.cover_cost_microdollars from app.economy as e),
        reference => 'cover ' || new.job_id);
    return null;
end;
$$;
comment on function app.log_cover_usage() is $$Trigger: a cover that was drawn is a generation too$$;

create or replace trigger tg_story_covers__log_usage
after update of job_id on app.story_covers
for each row when (old.job_id is null and new.job_id is not null)
execute function app.log_cover_usage();
