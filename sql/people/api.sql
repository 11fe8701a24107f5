-- The public contract of people: who one is, taking everything along, being forgotten.

create or replace view api.profiles with (security_invoker = true) as
select
    p.id, p.handle, p.display_name, p.bio, p.avatar_url,
    p.subscription_tier,
    b.balance as credits_balance,
    b.lifetime_bought + b.lifetime_received as credits_earned_total,
    b.lifetime_spent as credits_spent_total,
    p.is_creator,
    p.creator_tier,
    (b.lifetime_earned_microdollars / 1000000.0)::numeric(20, 6) as total_earnings_usd,
    (b.unpaid_microdollars / 1000000.0)::numeric(20, 6) as pending_payout_usd,
    p.created_at, p.updated_at,
    h.hits as cache_hits, h.credits_saved as cache_discount_earned,
    (select a.stripe_account_id
        from app.payout_accounts as a
        inner join app.economy as e on e.payouts_are_live = a.is_live
        where a.user_id = p.id) as stripe_connect_account_id
from app.profiles as p
cross join lateral app.profile_figures(p.id) as b
cross join lateral app.profile_cache_figures(p.id) as h
where p.id = (select app.current_user_id());
comment on view api.profiles is $$The caller's own profile

With the figures of seed 000, derived from the ledger. Other people's public face is in api.creators.$$;
comment on column api.profiles.id is 'The caller.';
comment on column api.profiles.handle is 'Unique short name.';
comment on column api.profiles.display_name is 'Name to show.';
comment on column api.profiles.bio is 'About.';
comment on column api.profiles.avatar_url is 'Picture.';
comment on column api.profiles.subscription_tier is 'free, basic or premium.';
comment on column api.profiles.credits_balance is 'Credits that can be spent now.';
comment on column api.profiles.credits_earned_total is 'Credits ever bought or received.';
comment on column api.profiles.credits_spent_total is 'Credits ever spent, less what came back.';
comment on column api.profiles.is_creator is 'Has published.';
comment on column api.profiles.creator_tier is 'bronze, silver, gold or platinum.';
comment on column api.profiles.total_earnings_usd is 'Dollars ever earned, less what was taken back.';
comment on column api.profiles.pending_payout_usd is 'Dollars earned and not paid yet.';
comment on column api.profiles.created_at is 'When the profile was made.';
comment on column api.profiles.updated_at is 'When it last changed.';
comment on column api.profiles.cache_hits is 'How often what they asked for had been generated before.';
comment on column api.profiles.cache_discount_earned is 'Credits that this saved.';
comment on column api.profiles.stripe_connect_account_id is 'The account at Stripe that is paid; null without one.';
grant select on api.profiles to authenticated, service_role;
create or replace trigger tg_profiles__read_only
instead of insert or update or delete on api.profiles
for each row execute function app.refuse_change();

create or replace function api.export_my_data()
returns jsonb
language sql stable
set search_path = ''
begin atomic
    select app.export_my_data();
end;
comment on function api.export_my_data() is $$Everything that is kept about you

As JSON: your profile, library, stories with their texts, purchases, payments, notices, and every movement of your money. Errors: 401 login_required.$$;
grant execute on function api.export_my_data() to authenticated;

create or replace function api.erase_me(forfeit boolean default false)
returns jsonb
language sql volatile
set search_path = ''
begin atomic
    select app.erase_me(forfeit);
end;
comment on function api.erase_me(boolean) is $$Have yourself forgotten

Your name, notes, progress, drafts and addresses go, and your customer at Stripe; your stories are off sale. What money did stays, under a name that says nothing, as the law asks. It cannot be undone. Refused while something is to be settled, which `details` names; `forfeit` gives up what credits and earnings are left. Errors: 401 login_required, 409 not_settled, 409 already_erased.$$;
grant execute on function api.erase_me(boolean) to authenticated;

create or replace function api.export_person(user_id uuid)
returns jsonb
language sql volatile
set search_path = ''
begin atomic
    select app.export_data_of(user_id);
end;
comment on function api.export_person(uuid) is $$Everything that is kept about somebody

For the service role only, for who asked you for it. On record in the audit log. Errors: 404 user_not_found.$$;
grant execute on function api.export_person(uuid) to service_role;

create or replace function api.erase_person(user_id uuid, reason text, forfeit boolean default false)
returns jsonb
language sql volatile
set search_path = ''
begin atomic
    select app.erase_data_of(user_id, reason, forfeit);
end;
comment on function api.erase_person(uuid, text, boolean) is $$Have somebody forgotten

For the service role only, as erase_me(). On record in the audit log. Errors: 400 text_required, 400 text_too_long, 404 user_not_found, 409 already_erased, 409 not_settled.$$;
grant execute on function api.erase_person(uuid, text, boolean) to service_role;
