-- downloads: the marks in a copy, where they stand, and whose copy they tell of.
begin;
\ir helpers.psql
\ir downloads.psql
select plan(110);

select asked('theirs', 'other');
select asked('one', 'reader');

-- Marks -------------------------------------------------------------------------------------------------------------
select is(app.watermark(code), app.watermark(code), format('the mark of %s is always the same', code))
from unnest(array[1, 281474976710655]) as code;
select is(length(app.watermark(code)), 56, format('%s has 56 bits', code)) from unnest(array[1, 4711, 281474976710655]) as code;
select is(translate(app.watermark(4711), u&'\200B\2060', ''), '', 'and nothing that is seen');
select is((select count(distinct app.new_copy_code()) from generate_series(1, 1000)), 1000::bigint, 'codes do not come twice');
select is(
    (select bool_and(c between 0 and 281474976710655) from (select app.new_copy_code() as c from generate_series(1, 1000)) as n), true,
    'and have 48 bits');

select is(
    app.printable_text(t), printable, format('what can be read of %s', to_json(t)))
from (values
    ('', ''), ('a', 'a'), (E'a\r\nb\rc\n', E'a\nb\nc\n'), (u&'a\2028b\2029c\0085d\000Be\000Cf', E'a\nb\nc\nd\ne\nf'),
    (u&'x\0001\001B\007F\0080y\FFFE\FDD0', 'xy'),
    (u&'a\200Bb\2060c', 'abc'), ('👩‍👩‍👧 می‌خواهم', '👩‍👩‍👧 می‌خواهم'), (E'\ta ', E'\ta '), (null, null)
) as v (t, printable);
create function tests.shown(content text)
returns text
language sql immutable
return replace(app.weave_watermark(shown.content, 4711), app.watermark(4711), '^');
comment on function tests.shown(text) is 'A text with its marks, each as a sign that can be seen.';
select is(shown(t), marked, format('the mark of %s', left(to_json(t)::text, 60)))
from (values
    ('It was late. They knew.', 'It was^ late. They knew.'), ('one', 'one^'), ('one.', 'one.^'), (E'one\ntwo', E'one^\ntwo^'),
    (E'\n\none\n\n two \n', E'\n\none^\n\n two^ \n'), ('終わり', '終わり^'), ('👩‍👩‍👧 came', '👩‍👩‍👧 came^'), ('می‌خواهم بروم', 'می‌خواهم بروم^'),
    (E'a\r\nb', E'a^\nb^'), (u&'a\200Bb\2060c', 'abc^'), (u&'a\00A0b\3000c', u&'a\00A0b^\3000c'),
    -- What holds no word holds no mark.
    ('', ''), (null, null), (' ', ' '), (E'\n\n', E'\n\n'), ('...', '...'),
    ('— …', '— …'), ('---', '---'), ('===', '==='), ('* * *', '* * *'),
    ('> ', '> '), ('-', '-'), ('1.', '1.'), ('> 2)', '> 2)'), ('#', '#'),
    -- The signs before a line stay what they are, and so do those around words.
    ('# Heading', '# Heading^'), ('# One two three #', '# One two^ three #'), ('- item', '- item^'), ('1. item', '1. item^'),
    ('- 1. > item', '- 1. > item^'), ('> a quotation is', '> a quotation^ is'), ('1986', '1986^'), ('    x', '    x^'),
    ('*No.* He', '*No.* He^'), ('He said *No.* x', 'He said^ *No.* x'), ('*No.*', '*No.^*'), ('**a** __b__ c', '**a** __b^__ c'),
    ('**_a_** **_b_**', '**_a_** **_b_**'), ('`a b` c', '`a b^` c'), ('`` b', '`` b^'), (E'a\\\nb', E'a^\\\nb^'), ('a\* b', 'a\* b^'),
    ('a &amp; b', 'a &amp; b^'), ('<a@b.c> d', '<a@b.c> d^'), (E'```sql\nselect 1\n```', E'```sql\nselect 1^\n```'), ('~~~ a', '~~~ a'),
    -- Names and addresses of links are looked up as they are.
    ('[a b](c) d', '[a b](c) d^'), ('[a](b "c d") e f', '[a](b "c d") e^ f'),
    ('[a](b(c) "d") e f', '[a](b(c) "d") e^ f'), ('![a b](c)', '![a b](c)^'),
    ('[System: level 2]', '[System: level 2]^'), (E'[a\nb c] d', E'[a\nb c] d^'), (E'[a b]: c\n"d"\n\ne', E'[a b]: c\n"d"\n\ne^'),
    (E'[a](\nb\n"c")\nd', E'[a](\nb\n"c")^\nd^'), ('[a\] b c] d', '[a\] b c] d^'), ('\[a b c', '\[a b^ c'), (E'[ a b\n\nc', E'[ a b\n\nc^'),
    -- What is very long is not looked through.
    (E'[' || repeat(E'a\n', 600) || E']\nb\n\nc', E'[' || repeat(E'a\n', 600) || E']\nb\n\nc^'),
    (repeat('x', 5001), repeat('x', 5001)), (repeat('x', 5000), repeat('x', 5000) || '^'),
    (repeat('x', 4997) || ' a b', repeat('x', 4997) || ' a^ b'),
    (repeat('x', 4998) || ' a b', repeat('x', 4998) || '^ a b')
) as v (t, marked);
select is(traced('می‌خواهم 👩‍👩‍👧'), '{}', 'and joiners name nobody');

-- Whose copy it is ------------------------------------------------------------------------------------------------
select asked('mine', 'reader');
create temp table copies as
select n.name, app.weave_watermark(E'It was late. They knew.\n\nNobody spoke of it.\nThe lamp went out.', copy_code(n.name)) as content
from unnest(array['mine', 'theirs']) as n (name);
grant select on copies to public;
create function tests.copied(name text)
returns text
language sql stable security definer
return (select c.content from pg_temp.copies as c where c.name = copied.name);

select is(traced(copied('mine')), '{"3 reader of Carried Forward"}', 'a whole text names its reader');
select is(traced(p.paragraph), '{"1 reader of Carried Forward"}', format('so does paragraph %s', p.place))
from regexp_split_to_table(copied('mine'), E'\n+') with ordinality as p (paragraph, place);
select is(traced(right(left(copied('mine'), 70), 69)), '{"1 reader of Carried Forward"}', 'a part of a paragraph does with the mark in it');
select is(traced(left(copied('mine'), 57)), '{}', 'with a part of the mark it does not');
select is(traced(upper(replace(copied('mine'), ' ', '  '))), '{"3 reader of Carried Forward"}', 'whatever is done to what is seen');
select is(
    traced(copied('mine') || split_part(copied('theirs'), E'\n', 1)), '{"3 reader of Carried Forward","1 other of Carried Forward"}',
    'two copies in one text name both');
select is(
    traced('x' || app.watermark(copy_code('mine')) || app.watermark(copy_code('theirs')) || 'y')
    @> '{"1 reader of Carried Forward","1 other of Carried Forward"}',
    true, 'also where their marks stand together');
select is(
    traced(app.weave_watermark(copied('mine'), copy_code('theirs'))), '{"3 other of Carried Forward"}',
    'a text with marks that is downloaded again has the new ones only');

select is(
    traced(repeat(u&'\200B', 3944) || app.watermark(copy_code('mine'))), '{"1 reader of Carried Forward"}',
    'a mark behind many others is found');
select is(
    traced(repeat(u&'\200B', 3945) || app.watermark(copy_code('mine'))), '{}', 'of a row without end only the beginning is looked at');

-- And whose it is not ---------------------------------------------------------------------------------------------
select is(traced(t), '{}', format('nobody: %s', what))
from (values
    ('', 'nothing'), ('words', 'words'), (null, 'null'), (app.watermark(4711), 'a mark of no copy'),
    (translate(copied('mine'), u&'\200B\2060', ''), 'without marks'),
    (translate(copied('mine'), u&'\200B', ''), 'without one half of them'),
    (translate(copied('mine'), u&'\200B\2060', u&'\2060\200B'), 'turned round'), (repeat(u&'\200B', 55), 'too short'),
    (repeat(u&'\200B', 56), '56 in a row'), (repeat(u&'\2060', 56), '56 others in a row'),
    (repeat(u&'\200B\2060', 500), 'a thousand in turn'),
    (repeat(u&'\200B', 5000), 'five thousand'), (repeat(u&'\200B\2060\2060', 1666666), 'five million')
) as v (t, what);
create function tests.forged(code bigint, given integer)
returns text
language sql immutable
return translate(forged.code::bit(48)::text || forged.given::bit(8)::text, '01', u&'\200B\2060');
select is(
    (select count(*) from generate_series(0, 255) as n where cardinality(traced(tests.forged(copy_code('mine'), n))) > 0), 1::bigint,
    'of all endings that can be tried one is right');
select is(
    (select count(*) from generate_series(1, 200) as n where cardinality(traced(app.watermark(app.new_copy_code()))) > 0), 0::bigint,
    'whoever makes up a code meets no copy');
select is(
    refusal($$ select tests.traced(repeat('x', 5000001)) $$),
    'PT400 text_too_long: The text is too long. A page is enough; at most 5,000,000 characters are looked at.', 'a library is too long');
select is(traced(repeat('x', 4000000) || copied('mine')), '{"3 reader of Carried Forward"}', 'a book is not');

select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
