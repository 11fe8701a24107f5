drop table app.notices cascade;
drop table app.notice_settings cascade;
drop table app.notice_templates cascade;
