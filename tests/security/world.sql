-- A world to attack, kept: Ann did everything that can be done here, Bob paid and read, Cora writes, Mallory is new.
-- psql runs it on a migrated database; what arranged it is gone at the end.
begin;
\ir ../../pgtap/helpers.psql
\ir ../../pgtap/covers.psql
\ir ../../pgtap/cache.psql
\ir ../../pgtap/people.psql
select tests.create_person('mallory'), tests.give('mallory', 1000), tests.give('bob', 1000), tests.give('cora', 1000);
-- Ann has something open of everything, so that there is something to cancel.
select tests.ask_cover('asked', 'ann', 'Unsold'), tests.generate('wished', 'ann', 'A storm', 'Unsold');
select app.adjust_earnings(tests.user_id('ann'), 100000000, 'a test', null);
select tests.ask_payout('waiting', 'ann', 20);
-- Operators may do more; here nobody is one.
delete from app.operators;
drop schema tests cascade;
commit;
