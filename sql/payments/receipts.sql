-- Receipts: numbered, as data and as a page that prints.

create or replace function app.next_receipt_number()
returns app.receipt_serials
language sql volatile
set search_path = ''
begin atomic
    insert into app.receipt_serials as s (year, last_serial)
    values (extract(year from app.month_of(now()))::integer, 1)
    on conflict on constraint receipt_serials_pkey do update
    set last_serial = s.last_serial + 1
    returning s.*;
end;
comment on function app.next_receipt_number() is $$The next number of this year, in the business time zone

Without gaps: it is given out in the transaction that credits the payment, and goes back with it. Locks the year's row until then, so it is taken last.$$;

create or replace function app.receipt_number(year integer, serial bigint, prefix text)
returns text
language sql immutable
set search_path = ''
return case
    -- lpad() would cut the millionth number short.
    when receipt_number.serial is not null then format(
        '%s-%s-%s', receipt_number.prefix, receipt_number.year,
        lpad(receipt_number.serial::text, greatest(6, length(receipt_number.serial::text)), '0'))
end;
comment on function app.receipt_number(integer, bigint, text) is $$A receipt's number as it is printed: R-2026-000042$$;
grant execute on function app.receipt_number(integer, bigint, text) to authenticated, service_role;

create or replace view app.receipts with (security_invoker = true) as
select
    p.id as payment_id,
    p.user_id,
    app.receipt_number(p.receipt_year, p.receipt_serial, p.receipt_seller ->> 'receipt_prefix') as number,
    p.processed_at as issued_at,
    p.receipt_seller ->> 'name' as seller_name,
    p.receipt_seller ->> 'address' as seller_address,
    p.receipt_seller ->> 'tax_id' as seller_tax_id,
    p.receipt_seller ->> 'email' as seller_email,
    p.receipt_seller ->> 'website' as seller_website,
    p.receipt_seller ->> 'note' as seller_note,
    coalesce(
        c.display_name,
        case when c.handle = app.first_handle(c.id) then 'account ' || c.id else c.handle end) as buyer_name,
    p.package_name as package,
    p.credits_purchased as credits,
    p.bonus_credits,
    p.amount_cents,
    p.currency,
    p.payment_method,
    coalesce(r.cents, 0) as refunded_cents,
    p.amount_cents - coalesce(r.cents, 0) as net_cents,
    coalesce(r.refunds, '[]') as refunds,
    p.is_live
from app.payments as p
inner join app.profiles as c on c.id = p.user_id
left join lateral (
    select sum(f.amount_cents)::bigint as cents,
        jsonb_agg(jsonb_build_object(
            'refunded_at', f.updated_at, 'amount_cents', f.amount_cents, 'credits', f.credits) order by f.id) as refunds
    from app.refunds as f
    where f.payment_id = p.id and f.status = 'succeeded'
) as r on true
where p.status = 'succeeded';
comment on view app.receipts is 'A receipt for every payment that succeeded, with what was refunded of it.';
grant select on app.receipts to authenticated, service_role;

create or replace function app.receipt(payment_id uuid)
returns app.receipts
language plpgsql stable security definer
set search_path = ''
as $$
declare
    v_is_operator constant boolean := coalesce(app.claims() ->> 'role' = 'service_role', false);
    v_receipt app.receipts;
begin
    if not v_is_operator then
        perform app.require_claimed_user();
    end if;
    select r.* into v_receipt
    from app.receipts as r
    where r.payment_id = receipt.payment_id and (v_is_operator or r.user_id = app.current_user_id());
    if not found then
        perform app.fail(404, 'receipt_not_found', 'There is no such receipt.', 'Only a payment that succeeded has one.');
    end if;
    return v_receipt;
end;
$$;
comment on function app.receipt(uuid) is $$One receipt, if the caller may see it

Errors: 401 login_required, 404 receipt_not_found.$$;
grant execute on function app.receipt(uuid) to authenticated, service_role;

create or replace function app.payment_description(package text, credits bigint, bonus_credits bigint)
returns text
language sql immutable
set search_path = ''
return case
    when credits + bonus_credits = 0 then package
    else format('%s: %s credits', package, credits + bonus_credits)
end;
comment on function app.payment_description(text, bigint, bigint) is $$What was paid for: a package of credits, or a period of a plan$$;
grant execute on function app.payment_description(text, bigint, bigint) to authenticated, service_role;

create or replace function app.receipt_row(label text, amount text)
returns text
language sql immutable
set search_path = ''
return format('<tr><th scope="row">%s</th><td>%s</td></tr>', app.html_text(receipt_row.label), app.html_text(receipt_row.amount));
comment on function app.receipt_row(text, text) is $$A line of the receipt's table$$;
grant execute on function app.receipt_row(text, text) to authenticated, service_role;

create or replace function app.receipt_html(receipt app.receipts)
returns text
language sql stable
set search_path = ''
return app.print_page('Receipt ' || (receipt_html.receipt).number, format(
    '%2$s<header><div><h1>Receipt</h1><div>%1$s</div><div><time datetime="%3$s">%4$s</time></div></div>
<address><strong>%5$s</strong>
%6$s</address></header>
<p>Sold to %7$s</p>
<table><tbody>
%8$s
</tbody></table>
<footer><div>%9$s</div><div>%10$s</div></footer>',
    app.html_text((receipt_html.receipt).number),
    case when (receipt_html.receipt).is_live then '' else E'<p class="test">A test: no money was moved.</p>\n' end,
    to_char((receipt_html.receipt).issued_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
    to_char(
        (receipt_html.receipt).issued_at at time zone (select e.business_time_zone from app.economy as e),
        'FMDD FMMonth YYYY'),
    app.html_text((receipt_html.receipt).seller_name),
    app.html_text(concat_ws(
        E'\n', nullif((receipt_html.receipt).seller_address, ''), nullif((receipt_html.receipt).seller_tax_id, ''))),
    app.html_text((receipt_html.receipt).buyer_name),
    concat_ws(
        E'\n',
        app.receipt_row(
            case when (receipt_html.receipt).bonus_credits = 0
                then app.payment_description((receipt_html.receipt).package, (receipt_html.receipt).credits, 0)
                else format(
                    '%s: %s credits and %s on top', (receipt_html.receipt).package, (receipt_html.receipt).credits,
                    (receipt_html.receipt).bonus_credits) end,
            app.money_text((receipt_html.receipt).amount_cents, (receipt_html.receipt).currency)),
        (
            select string_agg(
                app.receipt_row(
                    format('Refunded on %s', to_char(
                        (f.refund ->> 'refunded_at')::timestamptz at time zone (select e.business_time_zone from app.economy as e),
                        'FMDD FMMonth YYYY')),
                    app.money_text(-(f.refund ->> 'amount_cents')::bigint, (receipt_html.receipt).currency)),
                E'\n')
            from jsonb_array_elements((receipt_html.receipt).refunds) as f (refund)
        ),
        app.receipt_row(
            'Paid' || coalesce(
                ' by ' || regexp_replace((receipt_html.receipt).payment_method, ' (\d{4})$', ' ending in \1'), ''),
            app.money_text((receipt_html.receipt).net_cents, (receipt_html.receipt).currency))),
    app.html_text((receipt_html.receipt).seller_note),
    app.html_text(concat_ws(
        ' · ', nullif((receipt_html.receipt).seller_email, ''), nullif((receipt_html.receipt).seller_website, '')))
));
comment on function app.receipt_html(app.receipts) is $$A receipt as a page that prints well$$;
grant execute on function app.receipt_html(app.receipts) to authenticated, service_role;

create or replace function app.audit_seller()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    perform app.audit('change_seller', null, jsonb_build_object('before', to_jsonb(old), 'after', to_jsonb(new)));
    new.updated_at := now();
    return new;
end;
$$;
comment on function app.audit_seller() is $$Trigger: every change of what receipts say is on record$$;

create or replace trigger tg_seller__audit
before update on app.seller
for each row execute function app.audit_seller();
