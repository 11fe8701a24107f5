-- What a person has, and how operators give more.

create or replace function app.credit_balance(
    out balance bigint, out by_source jsonb, out expiring_soon bigint, out next_expiry timestamptz,
    out lifetime_bought bigint, out lifetime_received bigint, out lifetime_spent bigint,
    out lifetime_earned_microdollars bigint)
returns record
language plpgsql stable security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := app.require_claimed_user();
    v_soon constant timestamptz := now() + make_interval(
        days => (select e.expiring_soon_days from app.economy as e));
begin
    select
        coalesce(sum(s.remaining), 0),
        coalesce(jsonb_object_agg(s.source, s.remaining) filter (where s.remaining > 0), '{}'),
        coalesce(sum(s.expiring), 0),
        min(s.next_expiry),
        coalesce(sum(s.new_credits) filter (where s.source = 'purchase'), 0),
        coalesce(sum(s.new_credits) filter (where s.source in ('bonus', 'grant', 'allowance')), 0),
        coalesce(sum(s.spent), 0) - coalesce(sum(s.credits - s.new_credits), 0)
    into balance, by_source, expiring_soon, next_expiry, lifetime_bought, lifetime_received, lifetime_spent
    from (
        select
            l.source,
            sum(l.credits) as credits,
            coalesce(sum(l.credits) filter (where l.origin_id is null), 0) as new_credits,
            sum(l.credits - l.remaining - l.withdrawn) as spent,
            coalesce(sum(l.remaining) filter (where l.is_usable), 0) as remaining,
            sum(l.remaining) filter (where l.is_usable and l.expires_at <= v_soon) as expiring,
            min(l.expires_at) filter (where l.is_usable) as next_expiry
        from (
            select o.*, not o.is_spent and (o.expires_at is null or o.expires_at > now()) as is_usable
            from ledger.lots as o
            where o.book_id = v_user_id
        ) as l
        group by l.source
    ) as s;
    lifetime_earned_microdollars := ledger.lifetime_earned(v_user_id);
end;
$$;
comment on function app.credit_balance() is $$The caller's wallet

Lapsed credits are left out, swept or not. Errors: 401 login_required.$$;
grant execute on function app.credit_balance() to authenticated, service_role;

create or replace function app.me()
returns app.profiles
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := app.require_claimed_user();
    v_profile app.profiles;
begin
    if current_setting('transaction_read_only') = 'off' then
        perform ledger.lock_wallet(v_user_id);
        perform app.remember_notice_address();
    end if;
    select p.* into v_profile from app.profiles as p where p.id = v_user_id;
    if not found then
        v_profile.id := v_user_id;
        v_profile.handle := app.first_handle(v_user_id);
        v_profile.is_creator := false;
        v_profile.creator_tier := 'bronze';
        v_profile.subscription_tier := 'free';
        v_profile.created_at := now();
    end if;
    return v_profile;
end;
$$;
comment on function app.me() is $$The caller's profile, made on first use

Keeps the address in the token for notices. In a read-only transaction (GET) nothing is written and a newcomer sees what their profile will be. Errors: 401 login_required.$$;
grant execute on function app.me() to authenticated, service_role;

create or replace function app.grant_credits(
    user_id uuid, credits bigint, reason text, expires_at timestamptz default null, idempotency_key text default null)
returns ledger.receipt
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_reason constant text := app.require_text(grant_credits.reason, 'reason', 500);
    v_key constant text := ledger.operator_key(
        grant_credits.user_id, coalesce(grant_credits.idempotency_key, ledger.header_key()));
    v_arguments jsonb;
    v_receipt ledger.receipt;
    v_answer jsonb;
begin
    if grant_credits.user_id is null or grant_credits.user_id = ledger.platform_id() then
        perform app.fail(400, 'user_required', 'Please say who gets the credits.');
    end if;
    if grant_credits.credits is null or grant_credits.credits not between 1 and 1000000 then
        perform app.fail(
            400, 'invalid_credits', 'Credits are a whole number from 1 to 1,000,000.',
            format('You asked for %s.', coalesce(grant_credits.credits::text, 'nothing')));
    end if;
    if grant_credits.expires_at <= now() or grant_credits.expires_at = 'infinity' then
        perform app.fail(
            400, 'invalid_expiry', 'The expiry must be a time in the future.', grant_credits.expires_at::text);
    end if;
    perform ledger.lock_wallet(grant_credits.user_id);
    v_arguments := jsonb_build_array(
        grant_credits.user_id, grant_credits.credits, v_reason, extract(epoch from grant_credits.expires_at));
    v_answer := ledger.replay(ledger.platform_id(), v_key, 'grant_credits', v_arguments);
    if v_answer is not null then
        return jsonb_populate_record(null::ledger.receipt, v_answer);
    end if;
    v_receipt := ledger.grant_credits(
        grant_credits.user_id, grant_credits.credits, 'grant', expires_at => grant_credits.expires_at);
    perform app.audit(
        'grant_credits', grant_credits.user_id::text,
        jsonb_build_object(
            'credits', grant_credits.credits, 'reason', v_reason, 'expires_at', grant_credits.expires_at,
            'transaction_id', v_receipt.transaction_id));
    if v_key is not null then
        perform ledger.remember(ledger.platform_id(), v_key, 'grant_credits', v_arguments, to_jsonb(v_receipt));
    end if;
    return v_receipt;
end;
$$;
comment on function app.grant_credits(uuid, bigint, text, timestamptz, text) is $$Give a person credits that nobody paid for

For operators. Once per `idempotency_key`. On record in the audit log. Errors: 400 user_required, 400 invalid_credits, 400 invalid_expiry, 400 text_required, 409 idempotency_mismatch.$$;
grant execute on function app.grant_credits(uuid, bigint, text, timestamptz, text) to service_role;
