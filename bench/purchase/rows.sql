with sale as materialized (
    select
        bench.reader(:reader) as reader_id,
        bench.story(:story) as story_id,
        bench.creator(:story) as creator_id,
        :chapter::integer as chapter,
        uuidv7() as transaction_id,
        uuidv7() as purchase_id
),
wallet as (
    update ledger.accounts as a
    set balance = a.balance - 5
    from sale as s
    where a.owner_id = s.reader_id and a.kind = 'wallet'
    returning a.balance
),
lot as (
    update ledger.lots as l
    set remaining = l.remaining - 5
    from sale as s
    where l.book_id = s.reader_id
    returning l.id
),
draw as (
    insert into ledger.draws (book_id, transaction_id, lot_id, credits, value_microdollars)
    select s.reader_id, s.transaction_id, l.id, 5, 0 from sale as s, lot as l
),
transfer as (
    insert into ledger.transfers (
        book_id, transaction_id, debit_owner_id, debit_kind, credit_owner_id, credit_kind,
        amount, balance_after, reference_type, reference_id, asset, kind,
        credits, credit_value, creator_basis_points, split_basis_points)
    select
        s.reader_id, s.transaction_id, m.debit_owner_id, m.debit_kind, m.credit_owner_id, m.credit_kind,
        m.amount, m.balance_after, 'story_chapter', s.story_id, m.asset, m.kind,
        m.credits, m.credit_value, m.creator_basis_points, m.split_basis_points
    from sale as s, wallet as w,
        lateral (
            values
                (s.reader_id, 'wallet', '00000000-0000-0000-0000-000000000000'::uuid, 'redeemed',
                    5, w.balance, 'credit', 'spend', null::bigint, null::bigint, null::integer, null::integer),
                ('00000000-0000-0000-0000-000000000000'::uuid, 'royalties', s.creator_id, 'earnings',
                    175000, null, 'usd', 'earning', 5, 50000, 7000, 10000)
        ) as m (
            debit_owner_id, debit_kind, credit_owner_id, credit_kind, amount, balance_after, asset, kind,
            credits, credit_value, creator_basis_points, split_basis_points)
),
purchase as (
    insert into app.story_purchases (
        user_id, id, story_id, creator_id, transaction_id, purchase_type, chapters_unlocked, credits_spent,
        earned_microdollars)
    select
        s.reader_id, s.purchase_id, s.story_id, s.creator_id, s.transaction_id, 'chapter', array[s.chapter], 5,
        175000
    from sale as s
),
entitlement as (
    insert into app.story_entitlements (user_id, story_id, chapter_number, purchase_id)
    select s.reader_id, s.story_id, s.chapter, s.purchase_id from sale as s
),
request as (
    insert into ledger.requests (book_id, key, function_name, fingerprint, response)
    select
        s.reader_id, bench.request_key(:request), 'purchase_story', sha256('the arguments of this call'),
        jsonb_build_object(
            'purchase_id', s.purchase_id, 'story_id', s.story_id, 'purchase_type', 'chapter',
            'chapters_unlocked', array[s.chapter], 'credits_spent', 5, 'balance', w.balance,
            'already_owned', false, 'message', 'Enjoy your reading.')
    from sale as s, wallet as w
)
select w.balance from wallet as w;
