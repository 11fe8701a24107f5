-- Where creators' accounts stand, in words for their creators.

create or replace function app.requirement_text(field text)
returns text
language sql immutable
set search_path = ''
return case
    when requirement_text.field like 'external_account%' then 'A bank account for your payouts.'
    when requirement_text.field like '%verification.additional_document%' then 'A document that shows your address.'
    when requirement_text.field like '%verification.document%' then 'A photo of an identity document.'
    when requirement_text.field like '%.first_name' or requirement_text.field like '%.last_name'
        or requirement_text.field like '%company.name' then 'Your legal name.'
    when requirement_text.field like '%.dob.%' then 'Your date of birth.'
    when requirement_text.field like '%.address.%' then 'Your address.'
    when requirement_text.field like '%.ssn_last_4' or requirement_text.field like '%.id_number'
        or requirement_text.field like '%.tax_id' then 'Your tax or identity number.'
    when requirement_text.field like '%.email' then 'Your email address.'
    when requirement_text.field like '%.phone' then 'Your phone number.'
    when requirement_text.field like 'tos_acceptance%' then 'Your consent to Stripe''s terms.'
    when requirement_text.field like 'business_profile.%' then 'A few words about what you do.'
    when requirement_text.field = 'business_type' then 'Whether you are a person or a company.'
    else format('One more detail: %s.', translate(requirement_text.field, '._', '  '))
end;
comment on function app.requirement_text(text) is $$What Stripe wants to know, in words for a creator$$;

create or replace function app.describe_payout_state(
    account app.payout_accounts, out state text, out is_ready boolean, out message text, out missing text[])
returns record
language plpgsql immutable
set search_path = ''
as $$
declare
    v_requirements constant jsonb := coalesce((describe_payout_state.account).requirements, '{}');
begin
    is_ready := app.is_payout_account_ready(describe_payout_state.account);
    missing := array(
        select distinct app.requirement_text(f.field)
        from jsonb_path_query(v_requirements, 'lax $.past_due[*]') as d (value)
        cross join lateral (values (d.value #>> '{}')) as f (field)
        union
        select distinct app.requirement_text(f.field)
        from jsonb_path_query(v_requirements, 'lax $.currently_due[*]') as d (value)
        cross join lateral (values (d.value #>> '{}')) as f (field)
        order by 1);
    state := case
        when (describe_payout_state.account).stripe_account_id is null then 'none'
        when (describe_payout_state.account).deauthorized_at is not null then 'deauthorized'
        when is_ready then 'ready'
        when not (describe_payout_state.account).details_submitted then 'started'
        when missing <> '{}' then 'incomplete'
        when v_requirements ->> 'disabled_reason' like 'rejected.%' then 'rejected'
        when jsonb_path_exists(v_requirements, 'lax $.pending_verification[*]')
            or (describe_payout_state.account).transfers_status = 'pending' then 'verifying'
        else 'restricted'
    end;
    message := case state
        when 'none' then 'Set up payouts to receive what you earn.'
        when 'deauthorized' then 'Your Stripe account is not connected any more. Set up payouts again.'
        when 'ready' then 'You are ready to be paid.'
        when 'started' then 'Finish setting up payouts: Stripe still has questions.'
        when 'incomplete' then 'Stripe needs something more before you can be paid.'
        when 'rejected' then 'Stripe does not pay out to this account. Please write to us.'
        when 'verifying' then 'Stripe is checking what you sent. This takes up to two days.'
        else 'Stripe has paused payouts to your account. Open your Stripe page to see why.'
    end;
end;
$$;
comment on function app.describe_payout_state(app.payout_accounts) is $$Where an account stands, in words for its creator$$;

create or replace function app.payout_account_state(
    stripe_account_id text, out state text, out is_ready boolean, out message text, out missing text[])
returns record
language plpgsql stable security definer
set search_path = ''
as $$
declare
    v_account app.payout_accounts;
begin
    select a.* into v_account
    from app.payout_accounts as a
    where a.stripe_account_id = payout_account_state.stripe_account_id;
    select d.state, d.is_ready, d.message, d.missing
    into state, is_ready, message, missing
    from app.describe_payout_state(v_account) as d;
end;
$$;
comment on function app.payout_account_state(text) is $$Where an account stands, for the page to which Stripe sends its creator back$$;
grant execute on function app.payout_account_state(text) to edge;

create or replace function app.payout_account(
    out state text, out is_ready boolean, out message text, out missing text[], out country text,
    out is_paused boolean, out is_under_review boolean, out minimum_payout_cents bigint, out hold_days integer,
    out is_live boolean)
returns record
language plpgsql stable security definer
set search_path = ''
as $$
declare
    v_creator_id constant uuid := app.require_claimed_user();
    v_account app.payout_accounts;
begin
    is_live := (select e.payouts_are_live from app.economy as e);
    select a.* into v_account
    from app.payout_accounts as a
    where a.user_id = v_creator_id and a.is_live = payout_account.is_live;
    select d.state, d.is_ready, d.message, d.missing
    into state, is_ready, message, missing
    from app.describe_payout_state(v_account) as d;
    country := v_account.country;
    select s.paused_at is not null, s.review_since is not null
    into is_paused, is_under_review
    from app.payout_settings as s
    where s.creator_id = v_creator_id;
    is_paused := coalesce(is_paused, false);
    is_under_review := coalesce(is_under_review, false);
    minimum_payout_cents := app.minimum_payout_cents(v_creator_id);
    hold_days := app.hold_days(v_creator_id);
end;
$$;
comment on function app.payout_account() is $$Whether the caller can be paid, and what is missing

Errors: 401 login_required.$$;
grant execute on function app.payout_account() to authenticated, service_role;

create or replace function app.pause_payouts(is_paused boolean)
returns boolean
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_creator_id constant uuid := app.require_user();
begin
    if pause_payouts.is_paused is null then
        perform app.fail(400, 'invalid_argument', 'Please say whether payouts are to pause: true or false.');
    end if;
    insert into app.payout_settings as s (creator_id, paused_at)
    values (v_creator_id, case when pause_payouts.is_paused then now() end)
    on conflict on constraint payout_settings_pkey do update
    set paused_at = case when pause_payouts.is_paused then coalesce(s.paused_at, now()) end,
        updated_at = now();
    return pause_payouts.is_paused;
end;
$$;
comment on function app.pause_payouts(boolean) is $$Leave the caller out of the monthly payouts, or take them in again

Errors: 400 invalid_argument, 401 login_required.$$;
grant execute on function app.pause_payouts(boolean) to authenticated, service_role;
