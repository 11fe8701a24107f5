-- The mail of notices: taken by one worker for a minute, tried until it is out or three days old.

create or replace function app.claim_notices(batch integer)
returns table (id uuid, attempt integer, email text, subject text, body text, created_at timestamptz)
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    c_most_looked_at constant integer := 1000;
    v_notice app.notices;
    v_email text;
    v_taken integer := 0;
begin
    for i in 1 .. c_most_looked_at loop
        exit when v_taken >= claim_notices.batch;
        select n.* into v_notice
        from app.notices as n
        where n.email_state = 'pending' and n.next_attempt_at <= now()
        order by n.next_attempt_at
        limit 1
        for update skip locked;
        exit when not found;
        v_email := app.notice_mail_address(v_notice.user_id);
        if v_email is null then
            update app.notices as n set email_state = 'none' where n.id = v_notice.id;
        elsif app.is_notice_too_late(v_notice) then
            -- Nobody is mailed about the past because there was no mail server then.
            update app.notices as n
            set email_state = 'failed', email_error = coalesce(n.email_error, 'It was not sent in time.')
            where n.id = v_notice.id;
        else
            update app.notices as n
            set attempts = n.attempts + 1, next_attempt_at = now() + interval '60 seconds'
            where n.id = v_notice.id;
            v_taken := v_taken + 1;
            return query select
                v_notice.id, v_notice.attempts + 1, v_email, v_notice.subject, v_notice.body, v_notice.created_at;
        end if;
    end loop;
end;
$$;
comment on function app.claim_notices(integer) is $$Take notices that are to be mailed now, for the worker

Each is leased for 60 seconds; whoever dies meanwhile leaves it to the next. Leaves out people who want no mail any more, and gives up what is three days old.$$;

create or replace function app.is_notice_too_late(notice app.notices)
returns boolean
language sql stable
set search_path = ''
return (is_notice_too_late.notice).created_at < now() - interval '3 days';
comment on function app.is_notice_too_late(app.notices) is $$Whether a mail is given up: it is three days old$$;

create or replace function app.record_notice_sent(notice_id uuid)
returns void
language sql volatile security definer
set search_path = ''
begin atomic
    update app.notices as n
    set email_state = 'sent', emailed_at = clock_timestamp(), email_error = null
    where n.id = record_notice_sent.notice_id and n.email_state <> 'sent';
end;
comment on function app.record_notice_sent(uuid) is $$The mail server has taken a notice

Whoever says so is right, also when their minute was over.$$;

create or replace function app.record_notice_failure(notice_id uuid, attempt integer, message text, is_permanent boolean)
returns void
language sql volatile security definer
set search_path = ''
begin atomic
    update app.notices as n
    set email_state = case
            when record_notice_failure.is_permanent or app.is_notice_too_late(n) then 'failed' else 'pending' end,
        email_error = left(record_notice_failure.message, 500),
        next_attempt_at = now()
            + least(interval '1 hour', interval '10 seconds' * power(2, least(n.attempts, 12))) * (0.5 + random() / 2)
    where n.id = record_notice_failure.notice_id
        and n.email_state = 'pending'
        and n.attempts = record_notice_failure.attempt;
end;
comment on function app.record_notice_failure(uuid, integer, text, boolean) is $$A notice could not be mailed

A passing failure is tried again later and later, at most an hour apart, for three days; a permanent one is not. `attempt` is the one that claim_notices gave: who comes after their minute, when another has taken it, changes nothing.$$;
