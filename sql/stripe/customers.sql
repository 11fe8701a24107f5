-- Each person is one customer at Stripe.

create or replace function app.stripe_customer(livemode boolean, out stripe_customer_id text, out request_id uuid)
returns record
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := app.require_user();
begin
    perform ledger.lock_wallet(v_user_id);
    perform app.remember_notice_address();
    select c.stripe_customer_id into stripe_customer.stripe_customer_id
    from app.stripe_customers as c
    where c.user_id = v_user_id and c.is_live = stripe_customer.livemode;
    if found then
        return;
    end if;
    select r.id into stripe_customer.request_id
    from app.stripe_requests as r
    where r.subject_id = v_user_id and r.kind = 'customer' and r.state = 'pending'
        and r.is_live = stripe_customer.livemode;
    if not found then
        stripe_customer.request_id := app.add_stripe_request(
            v_user_id, 'customer', v_user_id,
            jsonb_strip_nulls(jsonb_build_object(
                'email', app.claimed_email(),
                'metadata', jsonb_build_object('user_id', v_user_id))),
            stripe_customer.livemode);
    end if;
end;
$$;
comment on function app.stripe_customer(boolean) is $$The caller's customer at Stripe, or the request that makes one

Exactly one of the two is null. Send the request and ask again. Errors: 401 login_required.$$;
grant execute on function app.stripe_customer(boolean) to edge;

create or replace function app.apply_stripe_customer(object jsonb)
returns app.stripe_outcome
language plpgsql volatile
set search_path = ''
as $$
declare
    v_user_id uuid;
begin
    select r.user_id into v_user_id
    from app.stripe_requests as r
    where r.id = app.uuid_or_null(apply_stripe_customer.object #>> '{metadata,request_id}') and r.kind = 'customer';
    if not found or (apply_stripe_customer.object ->> 'deleted')::boolean then
        return ('ignored', null)::app.stripe_outcome;
    end if;
    insert into app.stripe_customers (user_id, is_live, stripe_customer_id)
    values (
        v_user_id, (apply_stripe_customer.object ->> 'livemode')::boolean, apply_stripe_customer.object ->> 'id')
    on conflict do nothing;
    return ('applied', null)::app.stripe_outcome;
end;
$$;
comment on function app.apply_stripe_customer(jsonb) is $$A customer that Stripe made for us

The first one of a person stays theirs.$$;
