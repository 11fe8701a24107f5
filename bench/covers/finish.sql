select app.finish_cover(:job_id, :lease_token, bench.image(:job_id));
