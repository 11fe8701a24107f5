-- What must be true of covers at any time.

create or replace function app.check_cover_jobs()
returns setof ledger.violation
language sql stable
set search_path = ''
begin atomic
    -- Held while it is open, captured when it was made, released when it came to nothing.
    select 'cover_reservation', format('job %s', j.id),
        format('it is %s for %s credits; its reservation is %s of %s',
            j.state, j.cost_credits, coalesce(r.state, 'not there'), coalesce(r.credits, 0))
    from app.cover_jobs as j
    left join ledger.reservations as r on r.book_id = j.user_id and r.id = j.transaction_id
    where j.transaction_id is not null
        and (r.credits is distinct from j.cost_credits
            or r.state is distinct from case
                when j.state in ('pending', 'generating') then 'held'
                when j.state = 'completed' then 'captured'
                else 'released' end)
    union all
    select 'cover_sale_without_job', format('%s transaction %s', t.book_id, t.transaction_id),
        format('%s credits were set aside and no job says for what', t.amount)
    from ledger.transfers as t
    where t.kind = 'spend' and t.reference_type = 'cover'
        and not exists (
            select from app.cover_jobs as j
            where j.transaction_id = t.transaction_id and j.user_id = t.book_id and j.id = t.reference_id)
    union all
    select 'cover_missing', format('job %s', j.id), 'it is completed and has no cover'
    from app.cover_jobs as j
    where j.state = 'completed' and not exists (select from app.story_covers as c where c.job_id = j.id)
    union all
    select 'cover_unpaid', format('cover %s', c.id), format('its job %s is %s', j.id, j.state)
    from app.story_covers as c
    inner join app.cover_jobs as j on j.id = c.job_id
    where j.state <> 'completed' or (j.user_id, j.story_id, j.cost_credits) <> (c.user_id, c.story_id, c.cost_credits)
    union all
    select 'cover_attempts', format('job %s', a.job_id), format('it is %s, and %s attempts run', j.state, count(*))
    from app.cover_attempts as a
    inner join app.cover_jobs as j on j.id = a.job_id
    where a.ended_at is null
    group by a.job_id, j.state
    having count(*) > 1 or j.state <> 'generating'
    union all
    select 'cover_attempts', format('job %s', j.id), 'it is generating, and no attempt runs'
    from app.cover_jobs as j
    where j.state = 'generating'
        and not exists (select from app.cover_attempts as a where a.job_id = j.id and a.ended_at is null);
end;
comment on function app.check_cover_jobs() is $$Every cover was paid for once, and what came to nothing cost nothing$$;
