"""Everything at once, while its parts are killed: what was acknowledged is there once.

People come and go over plain HTTP, a saboteur kills processes and spoils answers, and at the end
what the people remember is compared with the database, with Stripe and with the ledger's proofs.
"""
