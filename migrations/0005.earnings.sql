-- earnings: the tiers of creators.
-- depends: 0004.stories

set local role app_owner;

create table app.creator_tiers (
    tier text primary key check (tier in ('bronze', 'silver', 'gold', 'platinum')),
    rank smallint not null unique check (rank > 0),
    minimum_earned_microdollars bigint not null check (minimum_earned_microdollars >= 0),
    hold_days integer check (hold_days between 0 and 365),
    description text not null
);
comment on table app.creator_tiers is 'The steps a creator climbs by lifetime earnings. `hold_days` overrides the one of app.economy.';
alter table app.creator_tiers enable row level security;

insert into app.creator_tiers (tier, rank, minimum_earned_microdollars, hold_days, description) values
('bronze', 1, 0, null, 'Every creator starts here.'),
('silver', 2, 100000000, null, 'From $100 earned.'),
('gold', 3, 1000000000, 5, 'From $1,000 earned: earnings are available after five days.'),
('platinum', 4, 10000000000, 3, 'From $10,000 earned: earnings are available after three days.');

reset role;
