-- Buying chapters, bundles and premium unlocks.

create or replace function app.purchase_story(
    story_id uuid, purchase_type text, chapters integer[], max_credits bigint, idempotency_key text)
returns app.purchase_answer
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_reader_id constant uuid := coalesce(app.current_user_id(), app.require_claimed_user());
    v_key constant text := coalesce(purchase_story.idempotency_key, ledger.header_key());
    v_balance bigint;
    v_arguments jsonb;
    v_first_answer jsonb;
    v_quote app.story_quote;
    v_receipt ledger.receipt;
    v_purchase_id uuid;
    v_nothing_new boolean;
    v_answer app.purchase_answer;
begin
    if purchase_story.max_credits < 0 then
        perform app.fail(400, 'invalid_max_credits', 'The most you will pay cannot be negative.');
    end if;
    -- From here on this reader's calls come one after the other.
    v_balance := ledger.lock_wallet(v_reader_id);
    if v_key is not null then
        v_arguments := jsonb_build_array(
            purchase_story.story_id, purchase_story.purchase_type, purchase_story.chapters, purchase_story.max_credits);
        v_first_answer := ledger.replay(v_reader_id, v_key, 'purchase_story', v_arguments);
        if v_first_answer is not null then
            return jsonb_populate_record(null::app.purchase_answer, v_first_answer);
        end if;
    end if;

    v_quote := app.story_quote(
        v_reader_id, purchase_story.story_id, purchase_story.purchase_type, purchase_story.chapters);
    if not v_quote.may_buy then
        perform app.fail(404, 'story_not_found', 'There is no such story on sale.');
    elsif v_quote.cost > purchase_story.max_credits then
        perform app.fail(
            409, 'price_changed', 'This costs more than you agreed to pay.',
            format('It costs %s credits; you agreed to at most %s. Ask for a new quote.', v_quote.cost, purchase_story.max_credits));
    end if;

    if v_quote.cost > 0 then
        v_receipt := ledger.spend_credits(
            v_reader_id, v_quote.cost, v_quote.rates, v_quote.splits,
            'story_' || purchase_story.purchase_type, purchase_story.story_id);
        v_balance := v_receipt.balance_after;
        insert into app.story_purchases (
            user_id, story_id, creator_id, transaction_id, purchase_type, chapters_unlocked, credits_spent,
            earned_microdollars)
        values (
            v_reader_id, purchase_story.story_id, v_quote.author_id, v_receipt.transaction_id,
            purchase_story.purchase_type, v_quote.new_chapters, v_quote.cost, v_receipt.earned_microdollars)
        returning id into v_purchase_id;
    else
        -- Not what the wallet says: some of it may have lapsed.
        v_balance := ledger.available_credits(v_reader_id);
    end if;
    v_nothing_new := v_quote.new_chapters = '{}';
    if not v_nothing_new then
        insert into app.story_entitlements as e (user_id, story_id, chapter_number, purchase_id)
        select v_reader_id, purchase_story.story_id, unnest(v_quote.new_chapters), v_purchase_id
        on conflict on constraint story_entitlements_pkey do update
        set purchase_id = excluded.purchase_id, revoked_at = null;
    end if;

    v_answer := (
        v_purchase_id, purchase_story.story_id, purchase_story.purchase_type, v_quote.new_chapters, v_quote.cost,
        v_balance, v_nothing_new,
        case when v_nothing_new then 'You can read this already; nothing was charged.' else 'Enjoy your reading.' end
    )::app.purchase_answer;
    if v_key is not null then
        perform ledger.remember(v_reader_id, v_key, 'purchase_story', v_arguments, to_jsonb(v_answer));
    end if;
    return v_answer;
end;
$$;
comment on function app.purchase_story(uuid, text, integer[], bigint, text) is $$Buy what the caller does not own yet, at the price computed here

Locks the caller's wallet and nobody else's rows. Errors: see api.purchase_story.$$;
grant execute on function app.purchase_story(uuid, text, integer[], bigint, text) to authenticated, service_role;

create or replace function app.refund_story_purchase(
    user_id uuid, purchase_id uuid, reason text, credits bigint, idempotency_key text)
returns ledger.receipt
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_reason constant text := app.require_text(refund_story_purchase.reason, 'reason', 500);
    v_key constant text := ledger.operator_key(
        refund_story_purchase.user_id, coalesce(refund_story_purchase.idempotency_key, ledger.header_key()));
    v_arguments constant jsonb := jsonb_build_array(
        refund_story_purchase.purchase_id, v_reason, refund_story_purchase.credits);
    v_purchase app.story_purchases;
    v_receipt ledger.receipt;
    v_answer jsonb;
begin
    select p.* into v_purchase
    from app.story_purchases as p
    where p.user_id = refund_story_purchase.user_id and p.id = refund_story_purchase.purchase_id;
    if not found then
        perform app.fail(404, 'purchase_not_found', 'There is no such purchase.');
    end if;
    perform ledger.lock_wallet(v_purchase.user_id);
    v_answer := ledger.replay(ledger.platform_id(), v_key, 'refund_story_purchase', v_arguments);
    if v_answer is not null then
        return jsonb_populate_record(null::ledger.receipt, v_answer);
    end if;
    v_receipt := ledger.reverse(v_purchase.user_id, v_purchase.transaction_id, refund_story_purchase.credits);
    if ledger.is_reversed(v_purchase.user_id, v_purchase.transaction_id) then
        update app.story_entitlements as e
        set revoked_at = now()
        where e.user_id = v_purchase.user_id and e.story_id = v_purchase.story_id and e.purchase_id = v_purchase.id;
    end if;
    perform app.audit(
        'refund_story_purchase', v_purchase.id::text,
        jsonb_build_object(
            'user_id', v_purchase.user_id, 'credits', refund_story_purchase.credits, 'reason', v_reason,
            'transaction_id', v_receipt.transaction_id));
    if v_key is not null then
        perform ledger.remember(
            ledger.platform_id(), v_key, 'refund_story_purchase', v_arguments, to_jsonb(v_receipt));
    end if;
    return v_receipt;
end;
$$;
comment on function app.refund_story_purchase(uuid, uuid, text, bigint, text) is $$Give credits of a story purchase back, and take the creators' part back

`credits` null: all that is left. When everything came back, what it unlocked is closed again. On record in the audit log. Errors: 400 text_required, 404 purchase_not_found, 409 already_reversed, 409 idempotency_mismatch, 422 reversal_too_large.$$;
grant execute on function app.refund_story_purchase(uuid, uuid, text, bigint, text) to service_role;

create or replace function app.close_recalled_story_purchases()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    update app.story_entitlements as e
    set revoked_at = now()
    from app.story_purchases as p
    where p.user_id = new.book_id
        and p.transaction_id in (
            select n.spend_transaction_id
            from ledger.recall_lines as n
            where n.book_id = new.book_id and n.recall_id = new.id)
        and ledger.is_reversed(p.user_id, p.transaction_id)
        and e.user_id = p.user_id and e.story_id = p.story_id and e.purchase_id = p.id;
    return null;
end;
$$;
comment on function app.close_recalled_story_purchases() is $$Trigger: what a payment opened is closed when the payment is gone for good

Once the whole of the sale was taken back, as after a refund.$$;

create or replace trigger tg_recalls__close_story_purchases
after update of state on ledger.recalls
for each row when (new.state = 'final')
execute function app.close_recalled_story_purchases();

create or replace function app.check_story_purchases()
returns setof ledger.violation
language sql stable
set search_path = ''
begin atomic
    with unreadable as materialized (
        select p.user_id, p.id, p.transaction_id, n as chapter_number
        from app.story_purchases as p
        cross join lateral unnest(p.chapters_unlocked) as n
        where not exists (
            select from app.story_entitlements as e
            where e.user_id = p.user_id and e.story_id = p.story_id and e.chapter_number = n and e.revoked_at is null)
    )
    select 'story_purchase', format('%s purchase %s', p.user_id, p.id),
        format('%s credits, its transaction says %s', p.credits_spent, coalesce(t.amount::text, 'nothing'))
    from app.story_purchases as p
    left join ledger.transfers as t
        on t.book_id = p.user_id and t.transaction_id = p.transaction_id and t.kind = 'spend'
    where t.amount is distinct from p.credits_spent
    union all
    select 'story_purchase_earnings', format('%s purchase %s', p.user_id, p.id),
        format('says %s micro-dollars, its authors earned %s', p.earned_microdollars, coalesce(e.amount, 0))
    from app.story_purchases as p
    left join (
        select t.book_id, t.transaction_id, sum(t.amount) as amount
        from ledger.transfers as t
        where t.kind = 'earning'
        group by t.book_id, t.transaction_id
    ) as e on e.book_id = p.user_id and e.transaction_id = p.transaction_id
    where p.earned_microdollars <> coalesce(e.amount, 0)
    union all
    select 'story_purchase_story', format('%s purchase %s', p.user_id, p.id), 'its story is not there'
    from app.story_purchases as p
    where not exists (select from app.stories as s where s.id = p.story_id)
    union all
    select 'story_sale_without_purchase', format('%s transaction %s', t.book_id, t.transaction_id),
        format('%s credits were spent and no purchase says on what', t.amount)
    from ledger.transfers as t
    where t.kind = 'spend' and t.reference_type like 'story\_%'
        and not exists (
            select from app.story_purchases as p
            where p.user_id = t.book_id and p.transaction_id = t.transaction_id)
    union all
    select 'story_entitlement_unpaid', format('%s story %s chapter %s', e.user_id, e.story_id, e.chapter_number),
        'it can be read, and its purchase says nothing of it'
    from app.story_entitlements as e
    where e.purchase_id is not null
        and not exists (
            select from app.story_purchases as p
            where p.user_id = e.user_id and p.id = e.purchase_id and p.story_id = e.story_id
                and e.chapter_number = any (p.chapters_unlocked))
    union all
    select 'story_entitlement', format('%s purchase %s', u.user_id, u.id),
        format('chapter %s was paid for and cannot be read', u.chapter_number)
    from unreadable as u
    where not ledger.is_reversed(u.user_id, u.transaction_id);
end;
comment on function app.check_story_purchases() is $$Every purchase was paid, and what was paid for can be read$$;

create or replace function app.check_story_authors()
returns setof ledger.violation
language sql stable
set search_path = ''
begin atomic
    select 'story_authors', s.id::text,
        format('the parts of its authors add up to %s of 10000', coalesce(sum(a.basis_points), 0))
    from app.stories as s
    left join app.story_authors as a on a.story_id = s.id
    group by s.id
    having coalesce(sum(a.basis_points), 0) <> 10000
    union all
    select 'story_pricing', s.id::text, 'it has no prices'
    from app.stories as s
    where not exists (select from app.story_pricing as p where p.story_id = s.id);
end;
comment on function app.check_story_authors() is $$Every story has its prices, and authors who share all of it$$;
