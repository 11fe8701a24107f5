-- The public contract of notices.

create or replace view api.notices with (security_invoker = true) as
select n.id, n.kind, n.subject, n.body, n.needs_action, n.data, n.created_at, n.read_at, n.emailed_at
from app.notices as n;
comment on view api.notices is $$What the caller was told

Payouts, refunds, disputes. Newest by `order=id.desc`; page with `id=lt.<last id>`; new ones by `read_at=is.null`.$$;
comment on column api.notices.id is 'Time-ordered id.';
comment on column api.notices.kind is 'What it is about, for programs: payout_sent, refund_paid, dispute_opened ...';
comment on column api.notices.subject is 'In one line.';
comment on column api.notices.body is 'In words; plain text with line breaks.';
comment on column api.notices.needs_action is 'The caller has to do something.';
comment on column api.notices.data is 'The ids and figures that the words are made of.';
comment on column api.notices.created_at is 'When it happened.';
comment on column api.notices.read_at is 'When the caller had read it; null while it is new.';
comment on column api.notices.emailed_at is 'When it went out by mail; null while it has not.';
grant select on api.notices to authenticated;
create or replace trigger tg_notices__read_only
instead of insert or update or delete on api.notices
for each row execute function app.refuse_change();

create or replace view api.notice_settings with (security_invoker = true) as
select c.user_id, s.email, coalesce(s.by_email, true) as by_email, s.updated_at
from (select app.current_user_id() as user_id) as c
left join app.notice_settings as s on s.user_id = c.user_id
where c.user_id is not null;
comment on view api.notice_settings is $$Where the caller's notices go

One row. The address is the `email` of the last token with which me() was called.$$;
comment on column api.notice_settings.user_id is 'The caller.';
comment on column api.notice_settings.email is 'The address; null when none is known: then notices are only shown.';
comment on column api.notice_settings.by_email is 'Whether the caller wants mail.';
comment on column api.notice_settings.updated_at is 'When this last changed.';
grant select on api.notice_settings to authenticated;
create or replace trigger tg_notice_settings__read_only
instead of insert or update or delete on api.notice_settings
for each row execute function app.refuse_change();

create or replace function api.count_unread_notices(out unread bigint, out needing_action bigint)
returns record
language sql stable
set search_path = ''
begin atomic
    select c.unread, c.needing_action from app.count_unread_notices() as c;
end;
comment on function api.count_unread_notices() is $$How many notices are new

`unread`, and of those the ones `needing_action`. Errors: 401 login_required.$$;
grant execute on function api.count_unread_notices() to authenticated;

create or replace function api.mark_notices_read(up_to uuid default null)
returns bigint
language sql volatile
set search_path = ''
begin atomic
    select app.mark_notices_read(up_to);
end;
comment on function api.mark_notices_read(uuid) is $$Say that you have read your notices

`up_to`: the id of the newest one that was shown; without it all. Answers how many were new. Errors: 401 login_required.$$;
grant execute on function api.mark_notices_read(uuid) to authenticated;

create or replace function api.update_notice_settings(by_email boolean)
returns boolean
language sql volatile
set search_path = ''
begin atomic
    select app.update_notice_settings(by_email);
end;
comment on function api.update_notice_settings(boolean) is $$Say whether you want your notices by mail

`by_email`: false and they are only shown. Answers what holds now. Errors: 401 login_required.$$;
grant execute on function api.update_notice_settings(boolean) to authenticated;
