//! The second version: what gateways share, and a run of each.

/// The migration. A gateway says with each beat how it is, and until when its claims count. A claim
/// is a node's newest link. A transaction that writes leaves its number in the row of its store.
///
/// **Runs.** Each gateway has its own, a setting of the connection that writes. A connection
/// without one uses the latest, as before. What the run of a gateway that is present made is over
/// by no other gateway's clock.
pub(super) const V2: &[&str] = &[
    "
CREATE TABLE gateway (
    name        TEXT COLLATE \"C\" PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 64),
    program     TEXT NOT NULL,
    address     TEXT,
    links       BIGINT NOT NULL,
    behind      BIGINT NOT NULL,
    run         BIGINT,
    beat_at     TIMESTAMPTZ NOT NULL,
    lease_until TIMESTAMPTZ NOT NULL
);
CREATE TABLE claim (
    node_id BYTEA PRIMARY KEY CHECK (length(node_id) = 16),
    gateway TEXT COLLATE \"C\" NOT NULL,
    number  BIGINT NOT NULL
);
CREATE INDEX claim_of ON claim (gateway);

CREATE TABLE outcome (
    writer UUID PRIMARY KEY,
    number BIGINT NOT NULL,
    at     TIMESTAMPTZ NOT NULL
);

-- A lease that ends later than any beat could have said was written before the clock was set back.
CREATE VIEW present AS SELECT * FROM gateway
    WHERE lease_until > clock_timestamp() AND lease_until <= clock_timestamp() + interval '5 seconds';
",
    "
CREATE FUNCTION this_run() RETURNS BIGINT LANGUAGE sql STABLE AS $$
    SELECT coalesce(nullif(current_setting('handfast.run', true), '')::bigint, (SELECT run FROM time_kept)) $$;
CREATE FUNCTION run_is_over(made_in BIGINT, own BIGINT) RETURNS BOOLEAN LANGUAGE sql STABLE AS $$
    SELECT made_in <> own AND NOT EXISTS (SELECT FROM present WHERE run = made_in) $$;

CREATE OR REPLACE FUNCTION has_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW.run := this_run(); RETURN NEW; END $$;
CREATE OR REPLACE FUNCTION ceiling_has_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW.ceiling_run := this_run(); RETURN NEW; END $$;
CREATE OR REPLACE FUNCTION has_both_runs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW.run := this_run(); NEW.end_run := NEW.run; RETURN NEW; END $$;
CREATE OR REPLACE FUNCTION end_has_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW.end_run := this_run(); RETURN NEW; END $$;
CREATE OR REPLACE FUNCTION login_has_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW.run := this_run(); NEW.use_run := NEW.run; RETURN NEW; END $$;
",
];
