-- A past, an evening at a time: every reader buys one chapter, of the story that bench.story_sold() says.
-- Writes what so many purchases would have written, in one statement, so that verify() stays empty.
-- `ago` is how long ago the evening was, `with_keys` whether the calls had idempotency keys.

create function bench.pass_evening(
    evening bigint, readers bigint, ago interval default '0', with_keys boolean default true)
returns void
language sql volatile
begin atomic
    with sales as materialized (
        select
            bench.reader(s.reader) as reader_id,
            bench.story(s.story) as story_id,
            bench.creator(s.story) as creator_id,
            bench.chapter_sold(s.story, evening) as chapter,
            bench.request_key((1::bigint << 46) + evening) as request_key,
            uuidv7(-ago) as transaction_id,
            uuidv7(-ago) as purchase_id
        from (
            select n as reader, bench.story_sold(n, evening) as story
            from generate_series(0, readers - 1) as n
        ) as s
    ),
    wallets as (
        update ledger.accounts as a
        set balance = a.balance - 5
        from sales as s
        where a.owner_id = s.reader_id and a.kind = 'wallet'
        returning a.owner_id, a.balance
    ),
    lots as (
        update ledger.lots as l
        set remaining = l.remaining - 5
        from sales as s
        where l.book_id = s.reader_id
        returning l.book_id, l.id
    ),
    draws as (
        insert into ledger.draws (book_id, transaction_id, lot_id, credits, value_microdollars)
        select s.reader_id, s.transaction_id, l.id, 5, 0
        from sales as s
        inner join lots as l on l.book_id = s.reader_id
    ),
    transfers as (
        insert into ledger.transfers (
            id, created_at, book_id, transaction_id, debit_owner_id, debit_kind, credit_owner_id, credit_kind,
            amount, balance_after, reference_type, reference_id, asset, kind,
            credits, credit_value, creator_basis_points, split_basis_points)
        select
            uuidv7(-ago), now() - ago, s.reader_id, s.transaction_id, m.debit_owner_id, m.debit_kind, m.credit_owner_id, m.credit_kind,
            m.amount, m.balance_after, 'story_chapter', s.story_id, m.asset, m.kind,
            m.credits, m.credit_value, m.creator_basis_points, m.split_basis_points
        from sales as s
        inner join wallets as w on w.owner_id = s.reader_id
        cross join lateral (
            values
                (s.reader_id, 'wallet', ledger.platform_id(), 'redeemed', 5, w.balance, 'credit', 'spend',
                    null, null, null, null),
                (ledger.platform_id(), 'royalties', s.creator_id, 'earnings', 175000, null, 'usd', 'earning',
                    5, 50000, 7000, 10000)
        ) as m (
            debit_owner_id, debit_kind, credit_owner_id, credit_kind, amount, balance_after, asset, kind,
            credits, credit_value, creator_basis_points, split_basis_points)
    ),
    purchases as (
        insert into app.story_purchases (
            created_at, user_id, id, story_id, creator_id, transaction_id, purchase_type, chapters_unlocked,
            credits_spent, earned_microdollars)
        select
            now() - ago, s.reader_id, s.purchase_id, s.story_id, s.creator_id, s.transaction_id, 'chapter', array[s.chapter], 5,
            175000
        from sales as s
    ),
    entitlements as (
        insert into app.story_entitlements (user_id, story_id, chapter_number, purchase_id)
        select s.reader_id, s.story_id, s.chapter, s.purchase_id from sales as s
    )
    insert into ledger.requests (book_id, key, function_name, fingerprint, response)
    select
        s.reader_id, s.request_key, 'purchase_story', sha256(convert_to(s.purchase_id::text, 'utf8')),
        to_jsonb((
            s.purchase_id, s.story_id, 'chapter', array[s.chapter], 5, w.balance, false, 'Enjoy your reading.'
        )::app.purchase_answer)
    from sales as s
    inner join wallets as w on w.owner_id = s.reader_id
    where with_keys;
end;
