drop table app.credit_packages cascade;
