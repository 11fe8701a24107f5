-- A creator's month: what there was, what was added and taken, what is left. It always adds up to the ledger.

create or replace function app.statement_section(kind text)
returns text
language sql immutable
set search_path = ''
return case
    when statement_section.kind = 'earning' then 'sales'
    when statement_section.kind in ('clawback', 'freeze', 'release') then 'refunds'
    when statement_section.kind in ('payout', 'payout_returned', 'payout_reversed') then 'payouts'
    else 'adjustments'
end;
comment on function app.statement_section(text) is $$Where a kind of movement stands on a statement: whatever is new is an adjustment$$;

create or replace function app.statement_description(kind text, reference_type text, reference_id uuid)
returns text
language sql stable
set search_path = ''
return case
    when statement_description.reference_type like 'story\_%' then coalesce(
        (select s.title from app.stories as s where s.id = statement_description.reference_id), 'A story')
    when statement_description.reference_type in ('payout', 'payout_reversal') then 'Payout'
    when statement_description.reference_type = 'correction' then 'Correction'
    else coalesce(statement_description.reference_type, 'Other')
end || case statement_description.kind
    when 'clawback' then ': refunded'
    when 'freeze' then ': payment refunded or disputed'
    when 'release' then ': dispute or refund came to nothing'
    when 'payout_returned' then ' came back'
    when 'payout_reversed' then ': taken back at Stripe'
    else ''
end;
comment on function app.statement_description(text, text, uuid) is $$What a line of a statement is about, in words$$;

create or replace function app.creator_statements(creator_id uuid, month date default null)
returns setof app.creator_statement
language sql stable
set search_path = ''
begin atomic
    with moved as materialized (
        select m.month, app.statement_section(m.kind) as section, m.kind, m.reference_type, m.reference_id,
            m.microdollars, m.movements
        from ledger.earning_months(creator_statements.creator_id) as m
    ),
    months as (
        select m.month from moved as m where creator_statements.month is null
        union
        select date_trunc('month', creator_statements.month)::date where creator_statements.month is not null
    ),
    lines as (
        select
            m.month,
            jsonb_agg(
                jsonb_build_object(
                    'section', m.section, 'reference_id', m.reference_id, 'description', m.description,
                    'movements', m.movements, 'microdollars', m.microdollars)
                order by array_position(array['sales', 'refunds', 'adjustments', 'payouts'], m.section) asc,
                    abs(m.microdollars) desc, m.description asc, m.reference_id asc
            ) as lines
        from (
            -- A story's chapters, bundles and unlocks are one line.
            select
                v.month, v.section, v.reference_id,
                app.statement_description(v.kind, v.reference_type, v.reference_id) as description,
                sum(v.movements)::bigint as movements, sum(v.microdollars)::bigint as microdollars
            from moved as v
            where creator_statements.month is null or v.month = date_trunc('month', creator_statements.month)::date
            group by v.month, v.section, v.reference_id, description
        ) as m
        group by m.month
    )
    select
        creator_statements.creator_id, o.month, app.payout_currency(),
        coalesce(sum(m.microdollars) filter (where m.month < o.month), 0)::bigint,
        coalesce(sum(m.microdollars) filter (where m.month = o.month and m.section = 'sales'), 0)::bigint,
        coalesce(sum(m.microdollars) filter (where m.month = o.month and m.section = 'refunds'), 0)::bigint,
        coalesce(sum(m.microdollars) filter (where m.month = o.month and m.section = 'adjustments'), 0)::bigint,
        coalesce(sum(m.microdollars) filter (where m.month = o.month and m.section = 'payouts'), 0)::bigint,
        coalesce(sum(m.microdollars), 0)::bigint,
        coalesce(l.lines, '[]')
    from months as o
    left join moved as m on m.month <= o.month
    left join lines as l on l.month = o.month
    group by o.month, l.lines
    order by o.month desc;
end;
comment on function app.creator_statements(uuid, date) is $$A creator's statements, newest first, or the one of a month

In micro-dollars: opening + sales + refunds + adjustments + payouts = closing, and each section is the sum of its lines. Months are those of the business time zone. Without movements a month has no lines.$$;

create or replace function app.my_statements()
returns setof app.creator_statement
language sql stable security definer
set search_path = ''
begin atomic
    select s.*
    from app.creator_statements(app.current_user_id()) as s
    where app.current_user_id() is not null;
end;
comment on function app.my_statements() is $$The caller's statements, newest first$$;
grant execute on function app.my_statements() to authenticated, service_role;

create or replace function app.payout_statement(month date, creator_id uuid)
returns app.creator_statement
language plpgsql stable security definer
set search_path = ''
as $$
declare
    v_is_operator constant boolean := coalesce(app.claims() ->> 'role' = 'service_role', false);
    v_month constant date := coalesce(payout_statement.month, (app.month_of(now()) - interval '1 month')::date);
    v_creator_id uuid := payout_statement.creator_id;
    v_statement app.creator_statement;
begin
    if v_creator_id is null then
        v_creator_id := app.require_claimed_user();
    elsif v_creator_id is distinct from app.current_user_id() then
        if not v_is_operator then
            perform app.require_operator();
        end if;
        perform app.require_creator(v_creator_id);
    end if;
    if v_month not between '2000-01-01' and '9999-12-31' or date_trunc('month', v_month) > app.month_of(now()) then
        perform app.fail(
            400, 'invalid_month', 'Please name a month that has begun, by one of its days, such as 2026-10-01.');
    end if;
    select s.* into strict v_statement from app.creator_statements(v_creator_id, v_month) as s;
    return v_statement;
end;
$$;
comment on function app.payout_statement(date, uuid) is $$A month of the caller's earnings; for operators, anybody's

Errors: 400 invalid_month, 401 login_required, 403 operator_required, 404 creator_not_found.$$;
grant execute on function app.payout_statement(date, uuid) to authenticated, service_role;

create or replace function app.statement_row(label text, microdollars bigint, currency text, is_total boolean)
returns text
language sql immutable
set search_path = ''
return format(
    '<tr%s><th scope="row">%s</th><td>%s</td></tr>', case when statement_row.is_total then ' class="total"' else '' end,
    app.html_text(statement_row.label), app.html_text(app.microdollar_text(statement_row.microdollars, statement_row.currency)));
comment on function app.statement_row(text, bigint, text, boolean) is $$A line of a statement's table$$;
grant execute on function app.statement_row(text, bigint, text, boolean) to authenticated, service_role;

create or replace function app.statement_html(statement app.creator_statement)
returns text
language sql stable
set search_path = ''
return app.print_page('Statement ' || to_char((statement_html.statement).month, 'FMMonth YYYY'), format(
    '<header><div><h1>Statement</h1><div>%s</div></div><address><strong>%s</strong></address></header>
<p>For %s</p>
<table><tbody>
%s
</tbody></table>
<footer><div>Sales are counted when they are made, and paid out after the hold.</div></footer>',
    to_char((statement_html.statement).month, 'FMMonth YYYY'),
    app.html_text((select s.name from app.seller as s)),
    app.html_text((
        select coalesce(p.display_name, case when p.handle = app.first_handle(p.id) then 'account ' || p.id else p.handle end)
        from app.profiles as p
        where p.id = (statement_html.statement).creator_id)),
    concat_ws(
        E'\n',
        app.statement_row('Opening balance', (statement_html.statement).opening_microdollars, (statement_html.statement).currency, true),
        (
            select string_agg(
                app.statement_row(
                    case l.line ->> 'section'
                        when 'sales' then format('Sales: %s (%s)', l.line ->> 'description', l.line ->> 'movements')
                        else l.line ->> 'description'
                    end,
                    (l.line ->> 'microdollars')::bigint, (statement_html.statement).currency, false),
                E'\n' order by l.place)
            from jsonb_array_elements((statement_html.statement).lines) with ordinality as l (line, place)
        ),
        app.statement_row('Closing balance', (statement_html.statement).closing_microdollars, (statement_html.statement).currency, true))
));
comment on function app.statement_html(app.creator_statement) is $$A statement as a page that prints well$$;
grant execute on function app.statement_html(app.creator_statement) to authenticated, service_role;

create or replace function app.csv_field(value text)
returns text
language sql immutable
set search_path = ''
return '"' || replace(
    -- A spreadsheet takes a text that begins so for a formula.
    case when csv_field.value ~ '^[=+@\t\r-]' then '''' || csv_field.value else coalesce(csv_field.value, '') end,
    '"', '""') || '"';
comment on function app.csv_field(text) is $$Text as a field of a table that any spreadsheet reads as text$$;
grant execute on function app.csv_field(text) to authenticated, service_role;

create or replace function app.statement_csv(statement app.creator_statement)
returns text
language sql stable
set search_path = ''
return (
    select E'month,section,reference_id,description,movements,microdollars,amount,currency\r\n' || string_agg(
        format(
            E'%s,%s,%s,%s,%s,%s,%s,%s\r\n',
            to_char((statement_csv.statement).month, 'YYYY-MM'), r.section, r.reference_id,
            app.csv_field(r.description), r.movements, r.microdollars,
            to_char(r.microdollars / 1000000.0, 'FM999999999990.000000'), (statement_csv.statement).currency),
        '' order by r.place)
    from (
        select 0 as place, 'opening' as section, null as reference_id, 'Opening balance' as description,
            null as movements, (statement_csv.statement).opening_microdollars as microdollars
        union all
        select l.place, l.line ->> 'section', l.line ->> 'reference_id', l.line ->> 'description',
            l.line ->> 'movements', (l.line ->> 'microdollars')::bigint
        from jsonb_array_elements((statement_csv.statement).lines) with ordinality as l (line, place)
        union all
        select 1000000000, 'closing', null, 'Closing balance', null, (statement_csv.statement).closing_microdollars
    ) as r
);
comment on function app.statement_csv(app.creator_statement) is $$A statement as a table, one line a story or payout$$;
grant execute on function app.statement_csv(app.creator_statement) to authenticated, service_role;
