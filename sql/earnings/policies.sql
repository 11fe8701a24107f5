-- The tiers are public.

drop policy if exists creator_tiers_select_anyone on app.creator_tiers;
create policy creator_tiers_select_anyone on app.creator_tiers
for select to anon, authenticated, service_role using (true);
grant select on app.creator_tiers to anon, authenticated, service_role;
