-- What was paid for stays: without its jobs the ledger would hold sales of nothing.
do $$
begin
    if exists (select from app.cover_jobs where transaction_id is not null) then
        raise exception 'There are covers that were paid for: go back to a backup instead';
    end if;
end
$$;
alter table app.notice_templates disable trigger user;
delete from app.notice_templates where kind in ('cover_ready', 'cover_failed');
alter table app.notice_templates enable trigger user;
delete from app.rate_limits where class = 'uploads';
update app.rate_limits
set functions = array_remove(array_remove(functions, 'request_cover'), 'cancel_cover')
where class = 'money';
alter table app.economy
drop column cover_price_credits cascade,
drop column cover_attempts cascade,
drop column cover_jobs_per_user cascade,
drop column covers_per_story cascade,
drop column cover_patience_hours cascade,
drop column cover_base_url cascade;
drop table app.story_covers cascade;
drop table app.cover_attempts cascade;
drop table app.cover_jobs cascade;
drop table app.cover_styles cascade;
