-- The reference cloud's store of events in PostgreSQL: the tables of 1.sql and 2.sql. JSON is kept as text, as it was
-- written; what is asked for stands in columns beside it.

CREATE TABLE IF NOT EXISTS events (
  -- Order in which the cloud took them; for paging.
  position    BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  store       TEXT    NOT NULL CHECK (length(store) BETWEEN 1 AND 64),
  event_id    TEXT    NOT NULL CHECK (length(event_id) >= 1),
  type        TEXT    NOT NULL CHECK (length(type) >= 1),
  -- The whole CloudEvent without `ledger` and `sequence`, which belong to a delivery.
  event       TEXT    NOT NULL,
  received_us BIGINT  NOT NULL,
  -- Of visits' events: which visit, and when it ended.
  visit       TEXT,
  left_us     BIGINT,
  -- What must go when its shopper wishes so.
  credential  TEXT,
  UNIQUE (store, event_id)
);
CREATE INDEX IF NOT EXISTS events_by_store ON events (store, position);
CREATE INDEX IF NOT EXISTS events_by_visit ON events (store, visit, position) WHERE visit IS NOT NULL;
CREATE INDEX IF NOT EXISTS events_by_credential ON events (store, credential) WHERE credential IS NOT NULL;

-- Which place of which ledger brought which event: what contiguity is counted by.
CREATE TABLE IF NOT EXISTS deliveries (
  store      TEXT   NOT NULL,
  ledger     TEXT   NOT NULL CHECK (length(ledger) = 36),
  ledger_seq BIGINT NOT NULL CHECK (ledger_seq >= 1),
  event_id   TEXT   NOT NULL,
  PRIMARY KEY (store, ledger, ledger_seq),
  FOREIGN KEY (store, event_id) REFERENCES events (store, event_id)
);

-- Everything of a ledger up to this number is here.
CREATE TABLE IF NOT EXISTS ledgers (
  store            TEXT   NOT NULL,
  ledger           TEXT   NOT NULL,
  acknowledged_seq BIGINT NOT NULL CHECK (acknowledged_seq >= 0),
  PRIMARY KEY (store, ledger)
);

-- Commands to stores, and what each store has decided about them.
CREATE TABLE IF NOT EXISTS commands (
  store       TEXT   NOT NULL CHECK (length(store) BETWEEN 1 AND 64),
  -- 1, 2, 3 ... without gaps for each store.
  seq         BIGINT NOT NULL CHECK (seq >= 1),
  command     TEXT   NOT NULL CHECK (length(command) BETWEEN 1 AND 64),
  version     BIGINT NOT NULL CHECK (version >= 0),
  issued_us   BIGINT NOT NULL,
  body        TEXT   NOT NULL,
  -- The store's answer; NULL until it has come.
  accepted    BOOLEAN,
  reason      TEXT,
  answered_us BIGINT,
  PRIMARY KEY (store, seq),
  UNIQUE (store, command)
);
