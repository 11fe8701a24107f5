\set is_due (:turn % :batch) = 0
\if :is_due
\set first :start + (:turn / :batch * :clients + :client_id) * :batch
select bench.fill(:first, :batch);
\endif
\set turn :turn + 1
select job_id, lease_token from app.claim_cover('benchmark:7860', bench.models()) \gset
