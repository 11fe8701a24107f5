-- The least that a call can be: made in the bench's database only, where PostgREST finds it.
create function api.do_nothing()
returns void
language sql volatile
set search_path = ''
begin atomic
end;
comment on function api.do_nothing() is 'What a call costs that does nothing.';
grant execute on function api.do_nothing() to authenticated;
