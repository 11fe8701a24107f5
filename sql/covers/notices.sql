-- What authors are told of their covers.

create or replace function app.tell_of_cover(job app.cover_jobs, kind text, credits_returned bigint)
returns void
language plpgsql volatile
set search_path = ''
as $$
begin
    perform app.notify(
        (tell_of_cover.job).user_id, tell_of_cover.kind,
        format('%s %s', tell_of_cover.kind, (tell_of_cover.job).id),
        jsonb_build_object(
            'job_id', (tell_of_cover.job).id, 'story_id', (tell_of_cover.job).story_id,
            'style', (tell_of_cover.job).style,
            'title', (select s.title from app.stories as s where s.id = (tell_of_cover.job).story_id),
            'credits', tell_of_cover.credits_returned,
            -- What went wrong is for operators; authors are told what they can do.
            'reason', 'You can ask for it again, with other words or another style.',
            'money', case
                when tell_of_cover.credits_returned = 1 then 'Your credit is back in your wallet.'
                when tell_of_cover.credits_returned > 1
                    then format('Your %s credits are back in your wallet.', tell_of_cover.credits_returned)
                end));
end;
$$;
comment on function app.tell_of_cover(app.cover_jobs, text, bigint) is $$Tell an author that a cover is ready, or that it will not come

`credits_returned` are back in their wallet.$$;
