\set is_due (:turn % :batch) = 0
\if :is_due
\set first :start + (:turn / :batch * :clients + :client_id) * :batch
select bench.fill_plain(:first, :batch);
\endif
\set turn :turn + 1
update bench.plain_jobs as j
set state = 'generating', attempts = j.attempts + 1, lease_token = gen_random_uuid(),
    leased_until = clock_timestamp() + interval '60 seconds', started_at = clock_timestamp()
where j.id = (
    select n.id from bench.plain_jobs as n
    where n.state = 'pending'
    order by n.turn_at, n.id
    limit 1
    for update skip locked)
returning j.id as job_id, j.lease_token, j.prompt, j.negative_prompt, j.options::text \gset
