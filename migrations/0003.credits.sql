-- credits: the packages on sale.
-- depends: 0002.ledger

set local role app_owner;

create table app.credit_packages (
    id uuid primary key default app.new_id(),
    name text not null unique,
    description text not null,
    credits_amount bigint not null check (credits_amount between 1 and 1000000),
    price_cents bigint not null check (price_cents between 1 and 100000000),
    currency text not null default 'usd' check (currency ~ '^[a-z]{3}$'),
    bonus_credits bigint not null default 0 check (bonus_credits between 0 and 1000000),
    stripe_price_id text not null,
    is_active boolean not null default true,
    sort_order integer not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
comment on table app.credit_packages is 'What readers can buy (seed 000, Step 1).';
comment on column app.credit_packages.price_cents is 'The price in cents of `currency`.';
alter table app.credit_packages enable row level security;

insert into app.credit_packages (
    name, description, credits_amount, price_cents, bonus_credits, stripe_price_id, sort_order
) values
('Starter Pack', 'Perfect for trying out the platform', 100, 499, 10, 'price_starter', 1),
('Reader Pack', 'Great for regular readers', 250, 999, 50, 'price_reader', 2),
('Enthusiast Pack', 'Best value for active readers', 600, 1999, 150, 'price_enthusiast', 3),
('Creator Pack', 'Maximum value for serious creators', 1500, 3999, 500, 'price_creator', 4);

reset role;
