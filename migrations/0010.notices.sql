-- notices: what people are told, by mail as well, and whether they want that.
-- depends: 0009.ledger

set local role app_owner;

create table app.notice_templates (
    kind text primary key check (kind ~ '^[a-z_]{1,50}$'),
    subject text not null check (length(subject) between 1 and 150 and subject !~ '[[:cntrl:]]'),
    body text not null check (length(body) between 1 and 5000),
    needs_action boolean not null default false,
    is_mailed boolean not null default true,
    updated_at timestamptz not null default now()
);
comment on table app.notice_templates is 'What each kind of notice says. {amount} and the like are filled from the notice''s data.';
comment on column app.notice_templates.needs_action is 'The person has to do something.';
comment on column app.notice_templates.is_mailed is 'Worth a mail; otherwise it is only shown.';

create table app.notices (
    id uuid primary key default app.new_id(),
    user_id uuid not null references app.profiles (id) on delete restrict,
    kind text not null,
    subject text not null,
    body text not null,
    data jsonb not null,
    needs_action boolean not null,
    dedupe_key text not null unique,
    created_at timestamptz not null default now(),
    read_at timestamptz,
    email_state text not null check (email_state in ('none', 'pending', 'sent', 'failed')),
    attempts integer not null default 0 check (attempts >= 0),
    next_attempt_at timestamptz not null default now(),
    emailed_at timestamptz,
    email_error text,
    check ((email_state = 'sent') = (emailed_at is not null))
);
comment on table app.notices is 'What people were told, in the words of that day. Only whether it was read, and how the mail went, is ever changed.';
comment on column app.notices.dedupe_key is 'What it is about, so that nobody is told twice.';
comment on column app.notices.email_state is 'none: only shown. pending: to be mailed. failed: the mail was given up.';
comment on column app.notices.email_error is 'What the mail server said last.';
create index notices_user_id on app.notices (user_id, id);
create index notices_unread on app.notices (user_id) where read_at is null;
create index notices_due on app.notices (next_attempt_at) where email_state = 'pending';

create table app.notice_settings (
    user_id uuid primary key references app.profiles (id) on delete restrict,
    email text check (length(email) <= 254),
    by_email boolean not null default true,
    updated_at timestamptz not null default now()
);
comment on table app.notice_settings is 'Where each person''s notices go. The address is the one of their last token that had one.';

alter table app.notice_templates enable row level security;
alter table app.notices enable row level security;
alter table app.notice_settings enable row level security;

insert into app.notice_templates (kind, subject, body, needs_action, is_mailed) values
(
    'payout_sent', 'Your payout of {amount} is on its way',
    'We have sent {amount} to your Stripe account, which brings it to your bank, usually within a few days. {about}', false, true
),
(
    'payout_failed', 'Your payout of {amount} could not be sent',
    'Your payout of {amount} could not be sent. {reason}

Nothing is lost: the money is part of your earnings again. Please look into your payout account. '
    'Then ask for the payout again, or wait for the next monthly one.', true, true
),
(
    'payout_canceled', 'Your payout of {amount} was canceled',
    'Your payout of {amount} was canceled: {reason}

Nothing is lost: the money is part of your earnings again.', false, true
),
(
    'payout_held', 'Your payout of {amount} is waiting',
    'Your payout of {amount} is waiting: {reason}

You need not do anything. We will tell you when it is sent, or if it cannot be.', false, true
),
(
    'payout_reversed', '{amount} of a payout came back',
    'Of your payout of {payout_amount}, {amount} was taken back at Stripe.

That money is part of your earnings again and will be paid out with them.', false, true
),
(
    'payout_action_needed', '{amount} is waiting for you',
    'You have earned {amount} that cannot be paid out yet. {reason}

Please complete your payout account. After that, ask for a payout or wait for the next monthly one.', true, true
),
(
    'payout_bank_refused', 'Your bank did not accept a payout of {amount}',
    'Stripe could not bring {amount} to your bank.

Please check the bank details of your payout account at Stripe. The money is in that account and is not lost.', true, true
),
(
    'refund_on_its_way', 'Your refund of {amount} has begun',
    'We are sending {amount} back to you. The credits that were bought with it can no longer be spent.', false, false
),
(
    'refund_paid', 'Your refund of {amount}',
    'We have sent {amount} back to you. It can take your bank up to ten days to show it. '
    'The credits that were bought with it are gone.', false, true
),
(
    'refund_failed', 'Your refund of {amount} did not go through',
    'Your refund of {amount} did not reach you: {reason}

The credits that were bought with it are yours again. If you would still like the money back, please write to us.', false, true
),
(
    'dispute_opened', 'Your bank has asked for {amount} back',
    'Your bank has called a payment to us into question and withholds {amount}. Until it decides, what was bought with it is frozen.

If this was a mistake, tell your bank that the payment is right.', true, true
),
(
    'dispute_won', 'The question about your payment of {amount} is settled',
    'Your bank has decided that the payment of {amount} stands. What was bought with it is yours again.', false, true
),
(
    'dispute_lost', 'Your bank has taken {amount} back',
    'Your bank has decided to take back the payment of {amount}. What was bought with it is gone.', false, true
);

reset role;
