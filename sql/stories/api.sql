-- The public contract of stories.

create or replace view api.stories with (security_invoker = true) as
select
    s.id, s.user_id, s.title, s.description, s.genre, s.language, s.tags, s.status,
    s.word_count, s.chapter_count, s.total_tokens_used,
    (s.total_cost_microdollars / 1000000.0)::numeric(20, 6) as total_cost_usd,
    s.published_at, s.created_at, s.updated_at
from app.stories as s;
comment on view api.stories is $$Stories

Published ones for everybody; an author's own drafts, and what a reader bought before it was archived.$$;
comment on column api.stories.id is 'Story id.';
comment on column api.stories.user_id is 'The author who owns the story.';
comment on column api.stories.title is 'Title.';
comment on column api.stories.description is 'What it is about.';
comment on column api.stories.genre is 'Genre.';
comment on column api.stories.language is 'Language code.';
comment on column api.stories.tags is 'Tags.';
comment on column api.stories.status is 'draft, published or archived.';
comment on column api.stories.word_count is 'Words in all chapters.';
comment on column api.stories.chapter_count is 'Chapters.';
comment on column api.stories.total_tokens_used is 'Tokens its generation used.';
comment on column api.stories.total_cost_usd is 'What its generation cost, in dollars.';
comment on column api.stories.published_at is 'When it was first published.';
comment on column api.stories.created_at is 'When it was begun.';
comment on column api.stories.updated_at is 'When it last changed.';
grant select on api.stories to anon, authenticated, service_role;

create or replace view api.chapters with (security_invoker = true) as
select
    c.id, c.story_id, c.chapter_number, c.title, c.status, c.word_count, c.tokens_used,
    (c.generation_cost_microdollars / 1000000.0)::numeric(20, 6) as generation_cost_usd,
    c.published_at, c.created_at, c.updated_at
from app.chapters as c;
comment on view api.chapters is $$Tables of contents

Chapters without their text: that is what read_chapter() is for.$$;
comment on column api.chapters.id is 'Chapter id.';
comment on column api.chapters.story_id is 'The story.';
comment on column api.chapters.chapter_number is 'From 1.';
comment on column api.chapters.title is 'Title.';
comment on column api.chapters.status is 'draft or published.';
comment on column api.chapters.word_count is 'Words.';
comment on column api.chapters.tokens_used is 'Tokens its generation used.';
comment on column api.chapters.generation_cost_usd is 'What its generation cost, in dollars.';
comment on column api.chapters.published_at is 'When it was published.';
comment on column api.chapters.created_at is 'When it was written.';
comment on column api.chapters.updated_at is 'When it last changed.';
grant select on api.chapters to anon, authenticated, service_role;

create or replace view api.story_pricing with (security_invoker = true) as
select
    p.id, p.story_id, p.creator_id, p.price_per_chapter, p.bundle_discount, p.is_free_sample,
    p.free_chapters, p.premium_unlock_price, p.created_at, p.updated_at
from app.story_pricing as p;
comment on view api.story_pricing is $$Prices of stories, in credits

For display; quote_story() says what a purchase costs the caller.$$;
comment on column api.story_pricing.id is 'Id.';
comment on column api.story_pricing.story_id is 'The story.';
comment on column api.story_pricing.creator_id is 'Its author.';
comment on column api.story_pricing.price_per_chapter is 'Credits a chapter.';
comment on column api.story_pricing.bundle_discount is 'Per cent off for two or more chapters at once.';
comment on column api.story_pricing.is_free_sample is 'Whether the first chapters are free.';
comment on column api.story_pricing.free_chapters is 'How many.';
comment on column api.story_pricing.premium_unlock_price is 'Credits for the whole story, later chapters included.';
comment on column api.story_pricing.created_at is 'When it was set.';
comment on column api.story_pricing.updated_at is 'When it last changed.';
grant select on api.story_pricing to anon, authenticated, service_role;

create or replace view api.story_authors with (security_invoker = true) as
select a.story_id, a.creator_id, a.rank
from app.story_authors as a
where exists (select from app.stories as s where s.id = a.story_id);
comment on view api.story_authors is $$Who wrote what

A story's authors by rank.$$;
comment on column api.story_authors.story_id is 'The story.';
comment on column api.story_authors.creator_id is 'An author.';
comment on column api.story_authors.rank is '1 is named first.';
grant select on api.story_authors to anon, authenticated, service_role;

create or replace view api.story_purchases with (security_invoker = true) as
select
    p.id, p.user_id, p.story_id, p.creator_id, p.purchase_type::text as purchase_type, p.chapters_unlocked,
    p.credits_spent::bigint as credits_spent,
    (p.earned_microdollars / 1000000.0)::numeric(20, 6) as creator_earnings, p.transaction_id, p.created_at
from app.story_purchases as p;
comment on view api.story_purchases is $$What the caller bought

One row a payment.$$;
comment on column api.story_purchases.id is 'Time-ordered id.';
comment on column api.story_purchases.user_id is 'The caller.';
comment on column api.story_purchases.story_id is 'The story.';
comment on column api.story_purchases.creator_id is 'Its author.';
comment on column api.story_purchases.purchase_type is 'chapter, bundle or premium_unlock.';
comment on column api.story_purchases.chapters_unlocked is 'Chapter numbers; 0 is the whole story.';
comment on column api.story_purchases.credits_spent is 'Credits.';
comment on column api.story_purchases.creator_earnings is 'What its authors earned, in dollars.';
comment on column api.story_purchases.transaction_id is 'The movements in the ledger.';
comment on column api.story_purchases.created_at is 'When.';
grant select on api.story_purchases to authenticated, service_role;

create or replace view api.story_entitlements with (security_invoker = true) as
select e.user_id, e.story_id, e.chapter_number, e.purchase_id
from app.story_entitlements as e
where e.revoked_at is null;
comment on view api.story_entitlements is $$What the caller may read

One row a chapter; chapter 0 is the whole story with what is still to come.$$;
comment on column api.story_entitlements.user_id is 'The caller.';
comment on column api.story_entitlements.story_id is 'The story.';
comment on column api.story_entitlements.chapter_number is 'The chapter; 0 for all.';
comment on column api.story_entitlements.purchase_id is 'How it was bought; null when it was free.';
grant select on api.story_entitlements to authenticated, service_role;

create or replace function api.create_story(
    title text, description text default '', genre text default 'fiction', language text default 'en',
    tags text[] default '{}')
returns uuid
language sql volatile
set search_path = ''
begin atomic
    select app.create_story(title, description, genre, language, tags);
end;
comment on function api.create_story(text, text, text, text, text[]) is $$Begin a story

A draft with the default prices; answers its id. `title` up to 200 characters, `description` up to 5000, at most 20 `tags`. Errors: 400 text_required, 400 text_too_long, 400 invalid_genre, 400 invalid_language, 400 invalid_tags, 401 login_required.$$;
grant execute on function api.create_story(text, text, text, text, text[]) to authenticated, service_role;

create or replace function api.update_story(
    story_id uuid, title text default null, description text default null, genre text default null,
    language text default null, tags text[] default null)
returns uuid
language sql volatile
set search_path = ''
begin atomic
    select app.update_story(story_id, title, description, genre, language, tags);
end;
comment on function api.update_story(uuid, text, text, text, text, text[]) is $$Change the description of your story

What is left out stays. Errors: as create_story, 404 story_not_found.$$;
grant execute on function api.update_story(uuid, text, text, text, text, text[]) to authenticated, service_role;

create or replace function api.save_chapter(
    story_id uuid, chapter_number integer, title text, content text, tokens_used bigint default null)
returns uuid
language sql volatile
set search_path = ''
begin atomic
    select app.save_chapter(story_id, chapter_number, title, content, tokens_used);
end;
comment on function api.save_chapter(uuid, integer, text, text, bigint) is $$Write a chapter of your story, or write it anew

New chapters come in order and are drafts until publish_story(). `content` up to 500,000 characters of Markdown. Errors: 400 text_required, 400 text_too_long, 400 invalid_tokens, 401 login_required, 404 story_not_found, 422 chapter_out_of_order.$$;
grant execute on function api.save_chapter(uuid, integer, text, text, bigint) to authenticated, service_role;

create or replace function api.publish_story(story_id uuid, chapters integer[] default null)
returns uuid
language sql volatile
set search_path = ''
begin atomic
    select app.publish_story(story_id, chapters);
end;
comment on function api.publish_story(uuid, integer[]) is $$Publish your story, or what is new in it

Without `chapters`, every draft chapter. Brings an archived story back. Errors: 401 login_required, 404 story_not_found, 404 chapter_not_found, 422 nothing_to_publish.$$;
grant execute on function api.publish_story(uuid, integer[]) to authenticated, service_role;

create or replace function api.archive_story(story_id uuid)
returns uuid
language sql volatile
set search_path = ''
begin atomic
    select app.archive_story(story_id);
end;
comment on function api.archive_story(uuid) is $$Take your story off sale

Who bought it keeps reading. Errors: 401 login_required, 404 story_not_found.$$;
grant execute on function api.archive_story(uuid) to authenticated, service_role;

create or replace function api.set_story_pricing(
    story_id uuid, price_per_chapter integer default null, bundle_discount integer default null,
    is_free_sample boolean default null, free_chapters integer default null,
    premium_unlock_price integer default null)
returns uuid
language sql volatile
set search_path = ''
begin atomic
    select app.set_story_pricing(
        story_id, price_per_chapter, bundle_discount, is_free_sample, free_chapters, premium_unlock_price);
end;
comment on function api.set_story_pricing(uuid, integer, integer, boolean, integer, integer) is $$Price your story

Prices in credits, the discount in per cent; what is left out stays. Sales already made keep their price. Errors: 400 invalid_price, 401 login_required, 404 story_not_found.$$;
grant execute on function api.set_story_pricing(uuid, integer, integer, boolean, integer, integer) to authenticated, service_role;

create or replace function api.set_story_authors(story_id uuid, creator_ids uuid[], basis_points integer[])
returns uuid
language sql volatile
set search_path = ''
begin atomic
    select app.set_story_authors(story_id, creator_ids, basis_points);
end;
comment on function api.set_story_authors(uuid, uuid[], integer[]) is $$Share the earnings of your story among its authors

`basis_points` of the creators' part in the order of `creator_ids`, together 10000. Later sales use it. Errors: 401 login_required, 404 story_not_found, 404 creator_not_found, 422 invalid_split.$$;
grant execute on function api.set_story_authors(uuid, uuid[], integer[]) to authenticated, service_role;

create or replace function api.leave_story(story_id uuid)
returns uuid
language sql volatile
set search_path = ''
begin atomic
    select app.leave_story(story_id);
end;
comment on function api.leave_story(uuid) is $$Take your name off a story that somebody else named you an author of

Your part of later sales goes to the story's own author; what you earned stays yours. Errors: 401 login_required, 404 story_not_found, 422 owner_stays.$$;
grant execute on function api.leave_story(uuid) to authenticated, service_role;

create or replace function api.story_splits()
returns table (story_id uuid, creator_id uuid, basis_points integer, rank smallint)
language sql stable
set search_path = ''
begin atomic
    select s.story_id, s.creator_id, s.basis_points, s.rank from app.story_splits() as s;
end;
comment on function api.story_splits() is $$How the authors of the caller's stories share

All authors of every story that the caller is an author of, in basis points. Errors: 401 login_required.$$;
grant execute on function api.story_splits() to authenticated, service_role;

create or replace function api.search_stories(
    query text default null, genre text default null, language text default null, tag text default null,
    free_only boolean default false, sort text default 'relevance')
returns setof api.stories
language sql stable
set search_path = ''
begin atomic
    select
        s.id, s.user_id, s.title, s.description, s.genre, s.language, s.tags, s.status,
        s.word_count, s.chapter_count, s.total_tokens_used, s.total_cost_usd,
        s.published_at, s.created_at, s.updated_at
    from app.search_stories(query, genre, language, tag, free_only, sort) as f
    inner join api.stories as s on s.id = f.story_id
    order by f.place;
end;
comment on function api.search_stories(text, text, text, text, boolean, text) is $$Find published stories

`query` as in a search engine (words, "phrases", -without); `free_only`: readable to the end without paying; `sort`: relevance, newest, longest or title. Page with `limit` and `offset`. Errors: 400 unknown_sort, 400 text_too_long, 400 invalid_query.$$;
grant execute on function api.search_stories(text, text, text, text, boolean, text) to anon, authenticated, service_role;

create or replace function api.quote_story(
    story_id uuid, purchase_type text, chapters integer[] default null,
    out title text, out cost bigint, out full_price bigint, out chapters_to_unlock integer[],
    out already_owned boolean, out balance bigint, out can_afford boolean)
returns record
language sql stable
set search_path = ''
begin atomic
    select q.title, q.cost, q.full_price, q.chapters_to_unlock, q.already_owned, q.balance, q.can_afford
    from app.quote_story(story_id, purchase_type, chapters) as q;
end;
comment on function api.quote_story(uuid, text, integer[]) is $$What a purchase would cost

`purchase_type` chapter (with `chapters`), bundle (`chapters`, or all of them) or premium_unlock. Answers `cost` and `full_price` in credits, `chapters_to_unlock` (0 is the whole story), whether all is owned or free already, and the caller's `balance`. Errors: 400 unknown_purchase_type, 400 chapters_required, 400 invalid_chapters, 404 story_not_found, 404 chapter_not_found, 422 bundle_too_small.$$;
grant execute on function api.quote_story(uuid, text, integer[]) to anon, authenticated, service_role;

create or replace function api.purchase_story(
    story_id uuid, purchase_type text, chapters integer[] default null, max_credits bigint default null,
    idempotency_key text default null,
    out purchase_id uuid, out credits_spent bigint, out balance bigint, out chapters_unlocked integer[],
    out already_owned boolean, out message text)
returns record
language sql volatile
set search_path = ''
begin atomic
    select p.purchase_id, p.credits_spent, p.balance, p.chapters_unlocked, p.already_owned, p.message
    from app.purchase_story(story_id, purchase_type, chapters, max_credits, idempotency_key) as p;
end;
comment on function api.purchase_story(uuid, text, integer[], bigint, text) is $$Buy chapters, a bundle or the whole story

`purchase_type` chapter (with `chapters`), bundle (`chapters`, or all of them, less the discount) or premium_unlock (all chapters, later ones too). The price is computed here; `max_credits` is the most you will pay. What you own, what is free and what you wrote costs nothing. Once per `idempotency_key` (or Idempotency-Key header): a retry gets the first answer. Answers `credits_spent` and the new `balance` in credits. Errors: 400 unknown_purchase_type, 400 chapters_required, 400 invalid_chapters, 400 invalid_max_credits, 400 invalid_idempotency_key, 401 login_required, 402 insufficient_credits, 404 story_not_found, 404 chapter_not_found, 409 price_changed, 409 idempotency_mismatch, 422 bundle_too_small, 429 rate_limited.$$;
grant execute on function api.purchase_story(uuid, text, integer[], bigint, text) to authenticated, service_role;

create or replace function api.refund_story_purchase(
    user_id uuid, purchase_id uuid, reason text, credits bigint default null, idempotency_key text default null,
    out transaction_id uuid, out balance_after bigint, out earned_microdollars bigint)
returns record
language sql volatile
set search_path = ''
begin atomic
    select r.transaction_id, r.balance_after, r.earned_microdollars
    from app.refund_story_purchase(user_id, purchase_id, reason, credits, idempotency_key) as r;
end;
comment on function api.refund_story_purchase(uuid, uuid, text, bigint, text) is $$Take a story purchase back

For the service role only. `credits` null: all that is left; then what it unlocked is closed again. The reader's credits and the creators' earnings come back in the same proportion, exactly. `earned_microdollars` is negative: what the creators lost. Errors: 400 text_required, 404 purchase_not_found, 409 already_reversed, 409 idempotency_mismatch, 422 reversal_too_large.$$;
grant execute on function api.refund_story_purchase(uuid, uuid, text, bigint, text) to service_role;

create or replace function api.read_chapter(
    story_id uuid, chapter_number integer,
    out chapter_id uuid, out story_title text, out title text, out content text, out word_count integer,
    out access text, out has_next boolean)
returns record
language sql stable
set search_path = ''
begin atomic
    select r.chapter_id, r.story_title, r.title, r.content, r.word_count, r.access, r.has_next
    from app.read_chapter(story_id, chapter_number) as r;
end;
comment on function api.read_chapter(uuid, integer) is $$Read a chapter

Free chapters for everybody, bought ones for their buyers, drafts for their authors. `access` says why: free, owned or author. Errors: 402 chapter_not_owned (details name the price), 404 chapter_not_found.$$;
grant execute on function api.read_chapter(uuid, integer) to anon, authenticated, service_role;
