-- Tamper evidence: a hash chain over what is final, off the write path (seed 001).

create or replace function ledger.digest(from_position bigint, to_position bigint)
returns table (transfers bigint, digest bytea)
language sql stable
set search_path = ''
begin atomic
    select
        count(*),
        sha256(coalesce(string_agg(
            sha256(convert_to(row(
                t.book_id, t.id, t.transaction_id, t.position, t.debit_owner_id, t.debit_kind,
                t.credit_owner_id, t.credit_kind, t.amount, t.balance_after, t.asset, t.kind,
                t.reference_type, t.reference_id, t.reverses_id, t.credits, t.credit_value,
                t.creator_basis_points, t.split_basis_points, extract(epoch from t.created_at)
            )::text, 'utf8')), ''::bytea order by t.position, t.book_id, t.id), ''::bytea))
    from ledger.transfers as t
    where t.position >= from_position and t.position < to_position;
end;
comment on function ledger.digest(bigint, bigint) is $$The number and the hash of the movements between two positions$$;

create or replace function ledger.seal(largest bigint default 100000)
returns bigint
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_last ledger.seals;
    v_from bigint;
    v_settled bigint;
    v_to bigint;
    v_made bigint := 0;
begin
    perform from ledger.fold_state as s for update;
    loop
        select s.* into v_last from ledger.seals as s order by s.number desc limit 1;
        v_from := coalesce(v_last.to_position, 0);
        v_settled := ledger.settled_position();
        select p.position + 1 into v_to
        from (
            select t.position
            from ledger.transfers as t
            where t.position >= v_from and t.position < v_settled
            order by t.position
            limit seal.largest
        ) as p
        order by p.position desc
        limit 1;
        exit when not found;
        insert into ledger.seals (number, from_position, to_position, transfers, digest, chain)
        select
            coalesce(v_last.number, 0) + 1, v_from, v_to, d.transfers, d.digest,
            sha256(coalesce(v_last.chain, ''::bytea) || d.digest)
        from ledger.digest(v_from, v_to) as d;
        v_made := v_made + 1;
    end loop;
    return v_made;
end;
$$;
comment on function ledger.seal(bigint) is $$Seal everything final, in links of about `largest` movements

Each link hashes its movements and the link before. Returns the number of links made. The worker calls it; keep the newest `chain` outside the database.$$;
