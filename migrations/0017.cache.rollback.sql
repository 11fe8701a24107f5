-- What was paid for stays: without its jobs the ledger would hold sales of nothing. pgvector stays too.
do $$
begin
    if exists (select from app.generation_jobs where transaction_id is not null) then
        raise exception 'There are generations that were paid for: go back to a backup instead';
    end if;
end
$$;
update app.rate_limits
set functions = array_remove(array_remove(functions, 'request_generation'), 'cancel_generation')
where class = 'money';
alter table app.economy
drop column generation_price_credits cascade,
drop column cache_discount_percent cascade,
drop column cache_similarity_basis_points cascade,
drop column cover_cost_microdollars cascade;
alter table app.stories
drop column logged_tokens cascade,
drop column logged_cost_microdollars cascade;
drop table app.ai_usage_logs cascade;
drop table app.cache_rewards cascade;
drop table app.generation_jobs cascade;
drop table if exists app.cache_vectors cascade;
drop table app.infinite_pages_cache cascade;
