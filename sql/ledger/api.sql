-- The public contract of the ledger: for operators.

create or replace view api.transfers with (security_invoker = true) as
select
    t.book_id, t.id, t.transaction_id, t.kind::text as kind, t.asset, t.amount::bigint as amount,
    t.debit_owner_id, t.debit_kind, t.credit_owner_id, t.credit_kind, t.balance_after,
    t.reference_type, t.reference_id, t.reverses_id,
    t.credits, t.credit_value, t.creator_basis_points, t.split_basis_points, t.position, t.created_at
from ledger.transfers as t;
comment on view api.transfers is $$Every movement of the ledger

For the service role only. One row debits one account and credits another.$$;
comment on column api.transfers.book_id is 'The person whose doing it was.';
comment on column api.transfers.id is 'Time-ordered id.';
comment on column api.transfers.transaction_id is 'Movements that belong together.';
comment on column api.transfers.kind is 'Credits: purchase, bonus, grant, allowance, spend, refund, expiry, freeze, release, withdrawal. Dollars: earning, clawback, freeze, release, charge, repayment, repayment_failed, fee, dispute, dispute_won, dispute_lost, settlement, adjustment, payout, payout_returned, payout_sent, payout_reversed, transfer, transfer_reversed, correction.';
comment on column api.transfers.asset is 'credit (whole) or usd (micro-dollars).';
comment on column api.transfers.amount is 'Always positive.';
comment on column api.transfers.debit_owner_id is 'Whose account it left; the platform is all zeros.';
comment on column api.transfers.debit_kind is 'Which of their accounts.';
comment on column api.transfers.credit_owner_id is 'Whose account it entered.';
comment on column api.transfers.credit_kind is 'Which of their accounts.';
comment on column api.transfers.balance_after is 'The book''s wallet after this movement, in credits.';
comment on column api.transfers.reference_type is 'What it was for.';
comment on column api.transfers.reference_id is 'The id of what it was for.';
comment on column api.transfers.reverses_id is 'The movement that this one takes back.';
comment on column api.transfers.credits is 'Credits of the sale, on an earning.';
comment on column api.transfers.credit_value is 'Payout value of a credit that was used, in micro-dollars.';
comment on column api.transfers.creator_basis_points is 'Creators'' part that was used.';
comment on column api.transfers.split_basis_points is 'This creator''s part of that part.';
comment on column api.transfers.position is 'Number of the writing transaction.';
comment on column api.transfers.created_at is 'When.';
grant select on api.transfers to service_role;

create or replace view api.seals with (security_invoker = true) as
select
    s.number, s.from_position, s.to_position, s.transfers,
    encode(s.digest, 'hex') as digest, encode(s.chain, 'hex') as chain, s.sealed_at
from ledger.seals as s;
comment on view api.seals is $$The hash chain over the movements

For the service role only. Keep the newest `chain` outside the database.$$;
comment on column api.seals.number is '1, 2, 3 ...';
comment on column api.seals.from_position is 'First position sealed.';
comment on column api.seals.to_position is 'First position not sealed.';
comment on column api.seals.transfers is 'Movements in this link.';
comment on column api.seals.digest is 'SHA-256 of the movements, in hex.';
comment on column api.seals.chain is 'SHA-256 of the chain before and the digest, in hex.';
comment on column api.seals.sealed_at is 'When.';
grant select on api.seals to service_role;

create or replace function api.verify()
returns table (check_name text, subject text, detail text)
language sql stable
set search_path = ''
begin atomic
    select v.check_name, v.subject, v.detail from ledger.verify() as v;
end;
comment on function api.verify() is $$Prove every invariant of the ledger

Each violation is a row; an empty answer means all is well. For the service role only.$$;
grant execute on function api.verify() to service_role;
grant execute on function ledger.verify() to service_role;

create or replace function api.solvency()
returns table (
    source text, outstanding_credits bigint, paid_microdollars bigint,
    owed_microdollars bigint, margin_microdollars bigint)
language sql stable
set search_path = ''
begin atomic
    select s.source, s.outstanding_credits, s.paid_microdollars, s.owed_microdollars, s.margin_microdollars
    from ledger.solvency() as s;
end;
comment on function api.solvency() is $$What the credits outstanding will cost, against what was paid for them

What creators will earn when they are spent on stories. By source, in credits and micro-dollars; the row without a source is the total. For the service role only.$$;
grant execute on function api.solvency() to service_role;
grant execute on function ledger.solvency() to service_role;
