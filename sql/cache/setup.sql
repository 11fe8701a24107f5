-- With every deploy: pgvector may have come meanwhile.
select app.prepare_cache_vectors();
