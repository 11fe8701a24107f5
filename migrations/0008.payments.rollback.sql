-- Money that came in cannot be undone: what the ledger says of it would have nobody who knows it.
do $$
begin
    if exists (select from app.payments) then
        raise exception 'There are payments: go back to a backup instead';
    end if;
end
$$;
drop domain api."text/html" cascade;
delete from app.rate_limits where class in ('payment', 'payment_address');
drop table app.seller cascade;
drop table app.receipt_serials cascade;
drop table app.disputes cascade;
drop table app.refunds cascade;
drop table app.payments cascade;
