drop table app.creator_tiers cascade;
