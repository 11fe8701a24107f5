-- Being forgotten (GDPR, article 17): names, notes and what was read go; what money did stays, about nobody.

create or replace function app.unsettled(user_id uuid, forfeit boolean)
returns setof text
language sql stable
set search_path = ''
begin atomic
    select format('a subscription to %s: end it by POST /subscriptions/portal at the edge', p.name)
    from app.subscriptions as s
    inner join app.subscription_plans as p on p.id = s.plan_id
    where s.user_id = unsettled.user_id and s.status not in ('canceled', 'incomplete_expired')
    union all
    select format('a payout of %s is on its way', app.money_text(p.amount_cents, p.currency))
    from app.payouts as p
    where p.creator_id = unsettled.user_id and p.status in ('pending', 'processing', 'held')
    union all
    select format('a payment of %s is not settled', app.money_text(p.amount_cents, p.currency))
    from app.payments as p
    where p.user_id = unsettled.user_id and p.status = 'processing'
    union all
    select format('a refund of %s is on its way', app.money_text(r.amount_cents, r.currency))
    from app.refunds as r
    where r.user_id = unsettled.user_id and r.status = 'pending'
    union all
    select format('a dispute about %s is open', app.money_text(d.amount_cents, d.currency))
    from app.disputes as d
    where d.user_id = unsettled.user_id and d.status = 'open'
    union all
    select format('still being made: %s; cancel it, or wait', string_agg(o.what, ', ' order by o.what))
    from (
        select 'a cover' as what
        from app.cover_jobs as j
        where j.user_id = unsettled.user_id and j.state in ('pending', 'generating')
        union
        select 'a text' from app.generation_jobs as j where j.user_id = unsettled.user_id and j.state = 'pending'
        union
        select 'a download' from app.exports as e where e.user_id = unsettled.user_id and e.state = 'pending'
    ) as o
    having count(*) > 0
    union all
    -- What Stripe makes now would be known by nobody. Such a call is answered or given up within an hour.
    select 'Stripe is being asked for something: wait a little'
    where exists (
        select from app.stripe_requests as r
        where r.user_id = unsettled.user_id and r.state = 'pending'
            and r.kind in ('customer', 'account', 'payment_intent', 'checkout_session', 'subscription_checkout'))
    union all
    select format('%s of earnings: ask for a payout, or pass `forfeit`', app.microdollar_text(b.balance, app.payout_currency()))
    from (select ledger.balance(unsettled.user_id, 'earnings') as balance) as b
    where b.balance > 0 and not unsettled.forfeit
    union all
    select format('%s credits: spend them, or pass `forfeit`', b.balance)
    from (select ledger.available_credits(unsettled.user_id) as balance) as b
    where b.balance > 0 and not unsettled.forfeit;
end;
comment on function app.unsettled(uuid, boolean) is $$What stands in the way of forgetting somebody, in words

With `forfeit` credits and earnings do not.$$;

create or replace function app.forfeit_all(user_id uuid)
returns void
language plpgsql volatile
set search_path = ''
as $$
declare
    v_earnings bigint;
    v_lot ledger.lots;
    v_transaction_id uuid;
begin
    perform ledger.expire_lots_of(forfeit_all.user_id);
    for v_lot in
        select l.* from ledger.lots as l where l.book_id = forfeit_all.user_id and not l.is_spent order by l.id
    loop
        v_transaction_id := app.new_id();
        perform ledger.withdraw_from_lot(v_lot, v_transaction_id, v_lot.remaining);
        perform ledger.post(
            v_lot.book_id, v_transaction_id,
            array[ledger.posting(
                'expiry', 'credit', v_lot.book_id, 'wallet', ledger.platform_id(), 'expired', v_lot.remaining, 'lot', v_lot.id)]);
    end loop;
    perform ledger.lock_earnings(array[forfeit_all.user_id]);
    v_earnings := ledger.balance(forfeit_all.user_id, 'earnings');
    if v_earnings > 0 then
        perform app.adjust_earnings(forfeit_all.user_id, -v_earnings, 'Given up by who was forgotten', null);
    end if;
end;
$$;
comment on function app.forfeit_all(uuid) is $$What somebody leaves behind who is forgotten

Credits lapse, earnings go to the platform. The caller holds the wallet.$$;

create or replace function app.forget_reading(user_id uuid)
returns void
language plpgsql volatile
set search_path = ''
as $$
begin
    delete from app.reading_progress as p where p.user_id = forget_reading.user_id;
    delete from app.user_library as l where l.user_id = forget_reading.user_id;
    delete from app.reading_days as d where d.user_id = forget_reading.user_id;
end;
$$;
comment on function app.forget_reading(uuid) is $$What somebody read, and thought of it, is gone$$;

create or replace function app.is_left_to_others(story_id uuid, user_id uuid)
returns boolean
language sql stable
set search_path = ''
return exists (
    select from app.story_entitlements as e
    where e.story_id = is_left_to_others.story_id and e.revoked_at is null
) or exists (
    select from app.story_authors as a
    where a.story_id = is_left_to_others.story_id and a.creator_id <> is_left_to_others.user_id
);
comment on function app.is_left_to_others(uuid, uuid) is $$Whether somebody bought a story of this person, or wrote it with them$$;

create or replace function app.forget_stories(user_id uuid)
returns void
language plpgsql volatile
set search_path = ''
as $$
declare
    v_story record;
begin
    for v_story in
        select s.id, app.is_left_to_others(s.id, s.user_id) as is_left
        from app.stories as s
        where s.user_id = forget_stories.user_id
        order by s.id
        for no key update
    loop
        -- Off sale; who bought it keeps reading.
        update app.stories as s set status = 'archived', updated_at = now() where s.id = v_story.id and s.status <> 'archived';
        continue when v_story.is_left;
        update app.chapter_texts as x
        set content = '-'
        from app.chapters as c
        where x.chapter_id = c.id and c.story_id = v_story.id;
        update app.chapters as c set title = '-', updated_at = now() where c.story_id = v_story.id;
        update app.stories as s set title = '-', description = '', tags = '{}', updated_at = now() where s.id = v_story.id;
        update app.story_covers as c
        set removed_at = coalesce(c.removed_at, now()), is_primary = false, updated_at = now()
        where c.story_id = v_story.id;
    end loop;
    -- Of what was left to others they see what was published.
    update app.chapter_texts as x
    set content = '-'
    from app.chapters as c
    inner join app.stories as s on s.id = c.story_id
    where x.chapter_id = c.id and s.user_id = forget_stories.user_id and c.status = 'draft'
        and not exists (
            select from app.story_authors as a where a.story_id = s.id and a.creator_id <> forget_stories.user_id);
end;
$$;
comment on function app.forget_stories(uuid) is $$The stories of somebody are off sale

And gone where nobody else has a part in them.$$;

create or replace function app.forget_writing(user_id uuid)
returns void
language plpgsql volatile
set search_path = ''
as $$
begin
    perform app.forget_stories(forget_writing.user_id);
    -- Their part in others' stories goes to those who wrote them.
    perform s.id
    from app.stories as s
    inner join app.story_authors as a on a.story_id = s.id
    where a.creator_id = forget_writing.user_id
    order by s.id
    for no key update of s;
    update app.story_authors as o
    set basis_points = o.basis_points + a.basis_points
    from app.story_authors as a
    inner join app.stories as s on s.id = a.story_id
    where a.creator_id = forget_writing.user_id and s.user_id <> forget_writing.user_id
        and o.story_id = a.story_id and o.creator_id = s.user_id;
    delete from app.story_authors as a
    using app.stories as s
    where s.id = a.story_id and a.creator_id = forget_writing.user_id and s.user_id <> forget_writing.user_id;
    update app.cover_jobs as j set wish = '', prompt = '', error_message = null where j.user_id = forget_writing.user_id;
    update app.story_covers as c set wish = '', prompt = '' where c.user_id = forget_writing.user_id;
    update app.generation_jobs as j
    set request = '{}', embedding = null, content = case when j.content is not null then '"-"'::jsonb end
    where j.user_id = forget_writing.user_id;
    -- The answer stays for whoever asks the same; what was asked, and by whom, does not.
    update app.infinite_pages_cache as c
    set user_id = null, story_id = null, request = '{}'
    where c.user_id = forget_writing.user_id;
end;
$$;
comment on function app.forget_writing(uuid) is $$What somebody wrote and asked for is off sale

And gone where nobody else has a part in it.$$;

create or replace function app.without_contacts(stored jsonb)
returns jsonb
language plpgsql immutable
set search_path = ''
as $$
begin
    if jsonb_typeof(without_contacts.stored) = 'object' then
        return (
            select coalesce(jsonb_object_agg(o.key, app.without_contacts(o.value)), '{}')
            from jsonb_each(without_contacts.stored) as o
            where o.key <> all (array[
                'email', 'name', 'phone', 'address', 'shipping', 'shipping_details', 'billing_details', 'receipt_email',
                'customer_details', 'customer_email', 'customer_name', 'customer_phone', 'customer_address',
                'customer_shipping', 'customer_tax_ids', 'collected_information', 'custom_fields', 'account_name',
                'payment_method_details', 'card', 'owner', 'evidence', 'individual', 'company', 'business_profile',
                'external_accounts', 'tos_acceptance', 'settings', 'first_name', 'last_name', 'dob', 'relationship',
                'account_holder_name', 'last4', 'routing_number', 'fingerprint', 'ip', 'hosted_invoice_url', 'invoice_pdf',
                'receipt_url', 'previous_attributes']));
    elsif jsonb_typeof(without_contacts.stored) = 'array' then
        return (
            select coalesce(jsonb_agg(app.without_contacts(a.value) order by a.place), '[]')
            from jsonb_array_elements(without_contacts.stored) with ordinality as a (value, place));
    end if;
    return without_contacts.stored;
end;
$$;
comment on function app.without_contacts(jsonb) is $$What Stripe said of somebody, without who they are

Ids, amounts and states stay, however deep they are.$$;

create or replace function app.forget_stripe_events(user_id uuid)
returns void
language sql volatile
set search_path = ''
begin atomic
    with customers as (
        select c.stripe_customer_id as id from app.stripe_customers as c where c.user_id = forget_stripe_events.user_id
    ),
    accounts as (
        select a.stripe_account_id as id from app.payout_accounts as a where a.user_id = forget_stripe_events.user_id
    )
    update app.stripe_events as e
    set payload = app.without_contacts(e.payload)
    where e.id in (
        select b.id from app.stripe_events as b inner join customers as c on b.payload #>> '{data,object,customer}' = c.id
        union
        select b.id from app.stripe_events as b inner join accounts as a on b.account = a.id
        union
        select b.id
        from app.stripe_events as b
        inner join (
            select c.id from customers as c
            union all
            select a.id from accounts as a
            union all
            select d.stripe_dispute_id from app.disputes as d where d.user_id = forget_stripe_events.user_id
            union all
            select r.stripe_refund_id from app.refunds as r where r.user_id = forget_stripe_events.user_id
        ) as o on b.object_id = o.id);
end;
comment on function app.forget_stripe_events(uuid) is $$What Stripe told of somebody stays as ids and amounts$$;

create or replace function app.forget_late_stripe_event()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
    if exists (
        select from app.profiles as p
        where p.erased_at is not null and p.id in (
            select c.user_id
            from app.stripe_customers as c
            where c.stripe_customer_id in (new.payload #>> '{data,object,customer}', new.object_id)
            union all
            select a.user_id from app.payout_accounts as a where a.stripe_account_id in (new.account, new.object_id)
            union all
            select y.user_id
            from app.payments as y
            where y.stripe_payment_intent_id = new.payload #>> '{data,object,payment_intent}'))
    then
        new.payload := app.without_contacts(new.payload);
    end if;
    return new;
end;
$$;
comment on function app.forget_late_stripe_event() is $$Trigger: what Stripe says of somebody later is forgotten at once

That their customer was deleted, for one, it says with all that it knew of them.$$;

create or replace trigger tg_stripe_events__forget
before insert on app.stripe_events
for each row execute function app.forget_late_stripe_event();

create or replace function app.forget_contacts(user_id uuid)
returns void
language plpgsql volatile
set search_path = ''
as $$
begin
    delete from app.notice_settings as n where n.user_id = forget_contacts.user_id;
    delete from app.notices as n where n.user_id = forget_contacts.user_id;
    delete from app.export_files as f
    using app.exports as e
    where f.export_id = e.id and e.user_id = forget_contacts.user_id;
    update app.exports as e
    set state = 'expired', updated_at = now()
    where e.user_id = forget_contacts.user_id and e.state = 'ready';
    -- Not read again: it would come back as it was.
    update app.payout_accounts as a
    set requirements = '{}', country = null, deauthorized_at = coalesce(a.deauthorized_at, now()), updated_at = now()
    where a.user_id = forget_contacts.user_id;
    delete from app.payout_settings as s where s.creator_id = forget_contacts.user_id and s.review_since is null;
    delete from app.feature_usage as u where u.user_id = forget_contacts.user_id;
    delete from app.operators as o where o.user_id = forget_contacts.user_id;
    -- Stripe forgets them as well. Nobody waits for it, so it is due at once.
    perform app.add_stripe_requests(
        'customer_deletion', array[c.user_id], array[c.user_id],
        array[jsonb_build_object('customer', c.stripe_customer_id)], array[c.is_live], now())
    from app.stripe_customers as c
    where c.user_id = forget_contacts.user_id;
    update app.stripe_requests as r
    set parameters = r.parameters - 'email'
    where r.user_id = forget_contacts.user_id and r.kind in ('customer', 'account');
    perform app.forget_stripe_events(forget_contacts.user_id);
end;
$$;
comment on function app.forget_contacts(uuid) is $$How somebody could be reached, and what they were told, is gone

Their customer at Stripe is to be deleted.$$;

create or replace function app.erase_person(user_id uuid, forfeit boolean)
returns jsonb
language plpgsql volatile
set search_path = ''
as $$
declare
    v_unsettled text[];
    v_handle constant text := 'gone_' || substr(replace(gen_random_uuid()::text, '-', ''), 1, 16);
begin
    perform ledger.lock_wallet(erase_person.user_id);
    if exists (select from app.profiles as p where p.id = erase_person.user_id and p.erased_at is not null) then
        perform app.fail(409, 'already_erased', 'There is nothing left to forget.');
    end if;
    perform ledger.lock_earnings(array[erase_person.user_id]);
    v_unsettled := array(select u from app.unsettled(erase_person.user_id, coalesce(erase_person.forfeit, false)) as u);
    if v_unsettled <> '{}' then
        perform app.fail(
            409, 'not_settled', 'There is something to settle first.', array_to_string(v_unsettled, E'\n'));
    end if;
    perform app.forfeit_all(erase_person.user_id);
    perform set_config('app.erasing', 'on', true);
    perform app.forget_reading(erase_person.user_id);
    perform app.forget_writing(erase_person.user_id);
    perform app.forget_contacts(erase_person.user_id);
    perform set_config('app.erasing', '', true);
    update app.profiles as p
    set handle = v_handle, display_name = null, bio = null, avatar_url = null, is_creator = false,
        erased_at = now(), updated_at = now()
    where p.id = erase_person.user_id;
    return jsonb_build_object('erased_at', now(), 'handle', v_handle);
end;
$$;
comment on function app.erase_person(uuid, boolean) is $$Forget a person; what money did stays, under a name that says nothing

Refused while anything is to be settled. `forfeit`: credits lapse and earnings go to the platform. Errors: 409 already_erased, 409 not_settled.$$;

create or replace function app.erase_me(forfeit boolean)
returns jsonb
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := app.require_claimed_user();
begin
    return app.erase_person(v_user_id, erase_me.forfeit);
end;
$$;
comment on function app.erase_me(boolean) is $$Forget the caller

Errors: see api.erase_me.$$;
grant execute on function app.erase_me(boolean) to authenticated;

create or replace function app.erase_data_of(user_id uuid, reason text, forfeit boolean)
returns jsonb
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_reason constant text := app.require_text(erase_data_of.reason, 'reason', 500);
begin
    if not exists (select from app.profiles as p where p.id = erase_data_of.user_id) then
        perform app.fail(404, 'user_not_found', 'There is no such person.');
    end if;
    perform app.audit('erase_person', erase_data_of.user_id::text, jsonb_build_object('reason', v_reason));
    return app.erase_person(erase_data_of.user_id, erase_data_of.forfeit);
end;
$$;
comment on function app.erase_data_of(uuid, text, boolean) is $$Forget somebody, for operators who were asked to

On record in the audit log. Errors: 400 text_required, 404 user_not_found, 409 already_erased, 409 not_settled.$$;
grant execute on function app.erase_data_of(uuid, text, boolean) to service_role;
