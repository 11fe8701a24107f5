-- Authors see their own jobs, logs and rewards. What the cache holds is had by asking for it.

drop policy if exists infinite_pages_cache_select_author on app.infinite_pages_cache;
create policy infinite_pages_cache_select_author on app.infinite_pages_cache
for select to authenticated using (user_id = (select app.current_user_id()));
drop policy if exists infinite_pages_cache_select_service on app.infinite_pages_cache;
create policy infinite_pages_cache_select_service on app.infinite_pages_cache
for select to service_role using (true);
grant select on app.infinite_pages_cache to authenticated, service_role;

drop policy if exists generation_jobs_select_author on app.generation_jobs;
create policy generation_jobs_select_author on app.generation_jobs
for select to authenticated using (user_id = (select app.current_user_id()));
drop policy if exists generation_jobs_select_service on app.generation_jobs;
create policy generation_jobs_select_service on app.generation_jobs
for select to service_role using (true);
grant select on app.generation_jobs to authenticated, service_role;

drop policy if exists cache_rewards_select_author on app.cache_rewards;
create policy cache_rewards_select_author on app.cache_rewards
for select to authenticated using (user_id = (select app.current_user_id()));
drop policy if exists cache_rewards_select_service on app.cache_rewards;
create policy cache_rewards_select_service on app.cache_rewards
for select to service_role using (true);
grant select on app.cache_rewards to authenticated, service_role;

drop policy if exists ai_usage_logs_select_author on app.ai_usage_logs;
create policy ai_usage_logs_select_author on app.ai_usage_logs
for select to authenticated using (user_id = (select app.current_user_id()));
drop policy if exists ai_usage_logs_select_service on app.ai_usage_logs;
create policy ai_usage_logs_select_service on app.ai_usage_logs
for select to service_role using (true);
grant select on app.ai_usage_logs to authenticated, service_role;

create or replace trigger tg_generation_jobs__no_delete
before delete on app.generation_jobs
for each row execute function app.refuse_change();
create or replace trigger tg_generation_jobs__no_truncate
before truncate on app.generation_jobs
for each statement execute function app.refuse_change();
create or replace trigger tg_cache_rewards__append_only
before update or delete on app.cache_rewards
for each row execute function app.refuse_change();
create or replace trigger tg_cache_rewards__no_truncate
before truncate on app.cache_rewards
for each statement execute function app.refuse_change();
create or replace trigger tg_ai_usage_logs__append_only
before update or delete on app.ai_usage_logs
for each row execute function app.refuse_change();
create or replace trigger tg_ai_usage_logs__no_truncate
before truncate on app.ai_usage_logs
for each statement execute function app.refuse_change();
