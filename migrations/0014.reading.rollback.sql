drop table app.reading_days cascade;
drop table app.reading_progress cascade;
drop table app.user_library cascade;
