-- Some sales are given back inside the hold, and some creators owe more than they have: both by the
-- product's own functions. One creator in a thousand each.

select count(app.refund_story_purchase(p.user_id, p.id, 'Bought by mistake.', null, null))
from (
    select distinct on (s.creator_id) s.user_id, s.id
    from app.story_purchases as s
    inner join generate_series(3, :creators, 1000) as n on s.creator_id = bench.creator(n)
    order by s.creator_id, s.created_at desc, s.id
) as p;

select count(app.adjust_earnings(bench.creator(n), -1000000000, 'Somebody else''s work.', null))
from generate_series(4, :creators, 1000) as n;
