\set request :start + :turn * :clients + :client_id
\set author 1 + :request % (:authors - 1)
\set turn :turn + 1
with caller as materialized (
    select set_config(
        'request.jwt.claims', '{"role": "authenticated", "sub": "' || bench.creator(:author) || '"}', true) as claims
)
select r.job_id
from caller as c,
    lateral api.request_cover(
        -- Depends on the claims, so that they are there before the call.
        case when c.claims <> '' then bench.story(:author) end,
        'fantasy', 'A lighthouse, asked for with ' || bench.request_key(:request), 3, bench.request_key(:request)) as r \gset
\set is_due (:turn % :batch) = 0
\if :is_due
select bench.park(:batch);
\endif
