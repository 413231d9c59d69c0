-- The reference cloud's store of events. Every table is STRICT.

-- Each event once, whatever number of times it was delivered.
CREATE TABLE events (
  -- Order in which the cloud took them; for paging.
  position    INTEGER PRIMARY KEY,
  store       TEXT    NOT NULL CHECK (length(store) BETWEEN 1 AND 64),
  event_id    TEXT    NOT NULL CHECK (length(event_id) >= 1),
  type        TEXT    NOT NULL CHECK (length(type) >= 1),
  -- The whole CloudEvent without `ledger` and `sequence`, which belong to a delivery.
  event       TEXT    NOT NULL CHECK (json_valid(event)),
  received_us INTEGER NOT NULL,
  UNIQUE (store, event_id)
) STRICT;

CREATE INDEX events_by_type ON events (store, type, position);

-- Which place of which ledger brought which event: what contiguity is counted by.
CREATE TABLE deliveries (
  store      TEXT    NOT NULL,
  ledger     TEXT    NOT NULL CHECK (length(ledger) = 36),
  ledger_seq INTEGER NOT NULL CHECK (ledger_seq >= 1),
  event_id   TEXT    NOT NULL,
  PRIMARY KEY (store, ledger, ledger_seq),
  FOREIGN KEY (store, event_id) REFERENCES events (store, event_id)
) STRICT, WITHOUT ROWID;

-- Everything of a ledger up to this number is here.
CREATE TABLE ledgers (
  store            TEXT    NOT NULL,
  ledger           TEXT    NOT NULL,
  acknowledged_seq INTEGER NOT NULL CHECK (acknowledged_seq >= 0),
  PRIMARY KEY (store, ledger)
) STRICT, WITHOUT ROWID;
