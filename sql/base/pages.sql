-- What pages for people are made of.

create or replace function app.money_text(cents bigint, currency text)
returns text
language sql immutable
set search_path = ''
return case money_text.currency
    when 'usd' then case when money_text.cents < 0 then '-' else '' end || '$'
        || to_char(abs(money_text.cents) / 100.0, 'FM999999999990.00')
    else to_char(money_text.cents / 100.0, 'FM999999999990.00') || ' ' || upper(money_text.currency)
end;
comment on function app.money_text(bigint, text) is $$An amount as people write it: $4.99$$;
grant execute on function app.money_text(bigint, text) to authenticated, service_role;

create or replace function app.microdollar_text(microdollars bigint, currency text)
returns text
language sql immutable
set search_path = ''
return case
    when microdollar_text.microdollars % 10000 = 0 then app.money_text(microdollar_text.microdollars / 10000, microdollar_text.currency)
    else case when microdollar_text.microdollars < 0 then '-' else '' end
        || case microdollar_text.currency when 'usd' then '$' else '' end
        || to_char(abs(microdollar_text.microdollars) / 1000000.0, 'FM999999999990.009999')
        || case microdollar_text.currency when 'usd' then '' else ' ' || upper(microdollar_text.currency) end
end;
comment on function app.microdollar_text(bigint, text) is $$An amount as people write it, with all that is below a cent: $0.175$$;
grant execute on function app.microdollar_text(bigint, text) to authenticated, service_role;

create or replace function app.html_text(value text)
returns text
language sql immutable
set search_path = ''
return replace(replace(replace(replace(replace(coalesce(html_text.value, ''),
    '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;'), '''', '&#39;');
comment on function app.html_text(text) is $$Text that says in a page exactly what it says$$;
grant execute on function app.html_text(text) to authenticated, service_role;

create or replace function app.print_page(title text, content text)
returns text
language sql immutable
set search_path = ''
return format(
    '<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>%s</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 42rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; }
p, address { overflow-wrap: anywhere; }
header, footer { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 1rem; }
address { font-style: normal; white-space: pre-line; }
table { width: 100%%; border-collapse: collapse; margin: 2rem 0; }
th { text-align: left; font-weight: normal; }
td { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { padding: .5rem 0; border-bottom: 1px solid #ddd; vertical-align: top; }
tr:last-child > *, tr.total > * { font-weight: 600; border-bottom: 2px solid #1a1a1a; }
h2 { font-size: 1.125rem; margin: 2rem 0 0; }
.test { border: 2px dashed #a33; color: #a33; padding: .25rem .75rem; }
footer { color: #555; font-size: .875rem; }
@page { margin: 2cm; }
@media print { body { margin: 0; max-width: none; } }
</style>
</head>
<body>
%s
</body>
</html>
',
    app.html_text(print_page.title), print_page.content);
comment on function app.print_page(text, text) is $$A page that prints well

`title` is text, `content` is HTML.$$;
grant execute on function app.print_page(text, text) to authenticated, service_role;
