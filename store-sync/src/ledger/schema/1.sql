-- The ledger: the truth of one store. Migration 1.
--
-- Only this file's tables hold what cannot be made again; projections.sql holds what follows from `events`.
-- Times are microseconds since the Unix epoch. Every table is STRICT: SQLite checks the types.

-- One row: which ledger this is.
CREATE TABLE ledger (
  one                 INTEGER PRIMARY KEY CHECK (one = 1),
  -- Drawn when the file is created. Tells the cloud that a new numbering began, should the disk be lost.
  ledger_id           TEXT NOT NULL CHECK (length(ledger_id) = 36),
  -- The store it belongs to: opening it for another store is refused.
  store               TEXT NOT NULL CHECK (length(store) BETWEEN 1 AND 64),
  created_us          INTEGER NOT NULL,
  -- Which projections.sql the projection tables were made with; another number makes them again from `events`.
  projections_version INTEGER NOT NULL CHECK (projections_version >= 0)
) STRICT;

-- Everything that happened and matters, in the order in which it became durable. Append-only, by trigger.
CREATE TABLE events (
  -- Position in this ledger: 1, 2, 3 ... without gaps, one numbering per store. The outbox and the cloud count by it.
  ledger_seq  INTEGER PRIMARY KEY CHECK (ledger_seq >= 1),
  -- Who originated the event, which of its numberings, and the number in it: the event's identity everywhere.
  source      TEXT    NOT NULL CHECK (length(source) BETWEEN 1 AND 64),
  epoch       TEXT    NOT NULL CHECK (length(epoch) = 36),
  source_seq  INTEGER NOT NULL CHECK (source_seq >= 1),
  -- The body's `kind`, for those who look for one kind only.
  kind        TEXT    NOT NULL CHECK (length(kind) BETWEEN 1 AND 64),
  -- When it happened, on the clock of whoever saw it.
  time_us     INTEGER NOT NULL,
  -- What happened: the bus payload's `body`, as this program writes it.
  body        TEXT    NOT NULL CHECK (json_valid(body)),
  -- When the ledger took it, wall clock. Nothing is computed from it.
  received_us INTEGER NOT NULL,
  UNIQUE (source, epoch, source_seq)
) STRICT;

CREATE INDEX events_by_kind ON events (kind, ledger_seq);

CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;

CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;

-- Events that came with a number the ledger has, but with another content. The first content stays; this table keeps
-- the last of the others for people to look at. At most one row per event, so it is bounded.
CREATE TABLE conflicts (
  source     TEXT    NOT NULL,
  epoch      TEXT    NOT NULL,
  source_seq INTEGER NOT NULL,
  times      INTEGER NOT NULL CHECK (times >= 1),
  last_us    INTEGER NOT NULL,
  time_us    INTEGER NOT NULL,
  body       TEXT    NOT NULL CHECK (json_valid(body)),
  PRIMARY KEY (source, epoch, source_seq),
  FOREIGN KEY (source, epoch, source_seq) REFERENCES events (source, epoch, source_seq)
) STRICT, WITHOUT ROWID;

-- Numbers that will never come: the source has said that it can no longer send them (its disk was lost, its journal
-- was trimmed under another ledger). The acknowledgement goes on after them; `store-sync check` lists them.
CREATE TABLE losses (
  source   TEXT    NOT NULL,
  epoch    TEXT    NOT NULL CHECK (length(epoch) = 36),
  from_seq INTEGER NOT NULL CHECK (from_seq >= 1),
  to_seq   INTEGER NOT NULL CHECK (to_seq >= from_seq),
  noted_us INTEGER NOT NULL,
  PRIMARY KEY (source, epoch, from_seq)
) STRICT, WITHOUT ROWID;

-- One row: how far the cloud has the ledger.
CREATE TABLE outbox (
  one              INTEGER PRIMARY KEY CHECK (one = 1),
  -- Every event up to this ledger_seq is in the cloud, as the cloud itself has said.
  acknowledged_seq INTEGER NOT NULL CHECK (acknowledged_seq >= 0)
) STRICT;

INSERT INTO outbox (one, acknowledged_seq) VALUES (1, 0);
