-- ledger: what a payment bought can be taken back; dollars that came in are movements too.
-- depends: 0005.earnings

set local role app_owner;

-- Writers wait while the movements are read once; a second for some millions.
-- squawk-ignore ban-drop-constraint
alter domain ledger.transfer_kind drop constraint transfer_kind_known;
-- squawk-ignore ban-alter-domain-with-add-constraint
alter domain ledger.transfer_kind add constraint transfer_kind_known check (
    value in (
        'purchase', 'bonus', 'grant', 'allowance', 'spend', 'earning', 'refund', 'clawback', 'expiry',
        'freeze', 'release', 'withdrawal',
        'charge', 'repayment', 'repayment_failed', 'fee', 'dispute', 'dispute_won', 'dispute_lost', 'settlement', 'adjustment'
    )
);

alter table ledger.lots
add column payment_id uuid,
add column origin_id uuid;
comment on column ledger.lots.payment_id is 'The payment that bought these credits; credits that come back keep it. A refund or a dispute finds here what to take back.';
comment on column ledger.lots.origin_id is 'The lot that these credits were drawn from before they came back.';
-- Both are empty at first, and looking through the lots for that is quick; writers wait for it.
-- squawk-ignore require-concurrent-index-creation
create index lots_payment on ledger.lots (book_id, payment_id) where payment_id is not null;
-- squawk-ignore require-concurrent-index-creation
create index lots_origin on ledger.lots (book_id, origin_id) where origin_id is not null;

-- Credits that came back before: each refund gave back the last of what was left of the sale, piece by piece.
update ledger.lots as l
set origin_id = o.origin_id
from (
    select r.book_id, r.lot_id, d.lot_id as origin_id
    from (
        select
            t.book_id,
            t.reverses_id,
            b.id as lot_id,
            t.returned
            + sum(b.credits) over (partition by b.book_id, b.transaction_id order by b.id) - b.credits as place
        from (
            select
                f.book_id, f.transaction_id, f.reverses_id,
                s.amount - sum(f.amount) over (partition by f.book_id, f.reverses_id order by f.id) as returned
            from ledger.transfers as f
            inner join ledger.transfers as s on s.book_id = f.book_id and s.id = f.reverses_id
            where f.kind = 'refund'
        ) as t
        inner join ledger.lots as b on b.book_id = t.book_id and b.transaction_id = t.transaction_id
    ) as r
    inner join ledger.transfers as s on s.book_id = r.book_id and s.id = r.reverses_id
    inner join (
        select
            w.book_id, w.transaction_id, w.lot_id, w.credits,
            sum(w.credits) over (
                partition by w.book_id, w.transaction_id order by o.expires_at, o.id) - w.credits as before
        from ledger.draws as w
        inner join ledger.lots as o on o.book_id = w.book_id and o.id = w.lot_id
    ) as d
        on d.book_id = s.book_id and d.transaction_id = s.transaction_id
        and r.place >= d.before and r.place < d.before + d.credits
) as o
where l.book_id = o.book_id and l.id = o.lot_id;

create table ledger.recalls (
    book_id uuid not null,
    id uuid not null default app.new_id(),
    payment_id uuid not null,
    reference_type text not null,
    reference_id uuid not null,
    credits bigint not null check (credits > 0),
    from_wallet bigint not null default 0 check (from_wallet >= 0),
    from_sales bigint not null default 0 check (from_sales >= 0),
    missing bigint not null check (missing >= 0),
    state text not null check (state in ('frozen', 'final', 'released', 'returned')),
    created_at timestamptz not null default now(),
    settled_at timestamptz,
    primary key (book_id, id),
    check (from_wallet + from_sales + missing = credits)
);
comment on table ledger.recalls is 'Credits of a payment that were taken back: a refund or a dispute. The id is also the transaction''s.';
comment on column ledger.recalls.from_wallet is 'Credits that were not spent yet.';
comment on column ledger.recalls.from_sales is 'Credits that were spent: their sales were taken back from the creators, see recall_lines.';
comment on column ledger.recalls.missing is 'Credits that could not be found: they lapsed, or came back into other hands. The platform''s loss.';
comment on column ledger.recalls.state is 'frozen: set aside until it is decided. final: gone. released: given back as it was. returned: given back as credits after it was final.';

create index recalls_reference on ledger.recalls (book_id, reference_type, reference_id);

create table ledger.recall_lines (
    book_id uuid not null,
    recall_id uuid not null,
    lot_id uuid not null,
    spend_transaction_id uuid not null,
    credits ledger.amount not null,
    primary key (book_id, recall_id, lot_id, spend_transaction_id),
    foreign key (book_id, recall_id) references ledger.recalls (book_id, id) on delete restrict
);
comment on table ledger.recall_lines is 'Which sales a recall reached, through the lots that paid for them. Append only.';
create index recall_lines_spend on ledger.recall_lines (book_id, spend_transaction_id);

alter table ledger.recalls enable row level security;
alter table ledger.recall_lines enable row level security;

-- ledger.return_draws() took its place. Nobody outside the ledger could call it.
-- squawk-ignore ban-drop-function
drop function if exists ledger.return_lots(uuid, uuid, uuid, bigint, bigint, bigint);

reset role;
