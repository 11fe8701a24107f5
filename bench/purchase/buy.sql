with caller as materialized (
    select set_config(
        'request.jwt.claims', '{"role": "authenticated", "sub": "' || bench.reader(:reader) || '"}', true) as claims
)
select p.*
from caller as c,
    lateral api.purchase_story(
        -- Depends on the claims, so that they are there before the call.
        case when c.claims <> '' then bench.story(:story) end,
        'chapter', array[:chapter::integer], null, bench.request_key(:request)) as p;
