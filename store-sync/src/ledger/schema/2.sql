-- Migration 2: the truth alone in its file, numberings interned, credentials apart, a sum over each event.
--
-- Projections move to a file of their own (projections.sqlite), which is not backed up: it can be made again.
-- Runs with foreign keys off; the migration checks them before it commits. The rows of the old `events`, `conflicts`
-- and `losses` are carried over by migrate.rs, which takes the credentials out of the bodies.

DROP TRIGGER events_are_never_changed;
DROP TRIGGER events_are_never_deleted;
DROP INDEX events_by_kind;
ALTER TABLE events RENAME TO events_1;
ALTER TABLE conflicts RENAME TO conflicts_1;
ALTER TABLE losses RENAME TO losses_1;

DROP TABLE IF EXISTS cart_lines;
DROP TABLE IF EXISTS carts;
DROP TABLE IF EXISTS receipt_lines;
DROP TABLE IF EXISTS receipts;
DROP TABLE IF EXISTS visits;
DROP TABLE IF EXISTS shelf_event_plates;
DROP TABLE IF EXISTS shelf_events;
DROP TABLE IF EXISTS attribution_candidates;
DROP TABLE IF EXISTS attributions;
DROP TABLE IF EXISTS gate_passages;
DROP TABLE IF EXISTS device_faults;
DROP TABLE IF EXISTS oddities;
DROP TABLE IF EXISTS sources;
ALTER TABLE ledger DROP COLUMN projections_version;

-- Every numbering of every source, and how much of it is there. Follows from `events` and `losses`; kept here because
-- acknowledgements are made from it.
CREATE TABLE numberings (
  numbering      INTEGER PRIMARY KEY,
  source         TEXT    NOT NULL CHECK (length(source) BETWEEN 1 AND 64),
  epoch          TEXT    NOT NULL CHECK (length(epoch) = 36),
  -- Every number up to this one is in the ledger, or in `losses`: what is acknowledged.
  contiguous_seq INTEGER NOT NULL CHECK (contiguous_seq >= 0),
  highest_seq    INTEGER NOT NULL CHECK (highest_seq >= contiguous_seq),
  -- How many of its events are in the ledger.
  events         INTEGER NOT NULL CHECK (events BETWEEN 0 AND highest_seq),
  -- Event time of the youngest; 0 when there is none.
  last_time_us   INTEGER NOT NULL,
  UNIQUE (source, epoch)
) STRICT;

-- Everything that happened and matters, in the order in which it became durable. Append-only, by trigger; retention
-- may let go of a body, nothing else ever changes.
CREATE TABLE events (
  -- Position in this ledger: 1, 2, 3 ... without gaps, one numbering per store. The outbox and the cloud count by it.
  ledger_seq  INTEGER PRIMARY KEY CHECK (ledger_seq >= 1),
  -- Whose event, and its number there: with the source and epoch of `numberings`, the event's identity everywhere.
  numbering   INTEGER NOT NULL REFERENCES numberings (numbering),
  source_seq  INTEGER NOT NULL CHECK (source_seq >= 1),
  -- The body's `kind`; stays when the body is let go.
  kind        TEXT    NOT NULL CHECK (length(kind) BETWEEN 1 AND 64),
  -- When it happened, on the clock of whoever saw it.
  time_us     INTEGER NOT NULL,
  -- What happened: the bus payload's `body`, as this program writes it, without the credential. NULL once retention
  -- has let it go.
  body        TEXT             CHECK (body IS NULL OR body LIKE '{"kind":"%}'),
  -- CRC-32 over identity, time and body, so that a check finds what the disk has changed.
  sum         INTEGER NOT NULL CHECK (sum BETWEEN 0 AND 4294967295),
  -- When the ledger took it, wall clock. Nothing is computed from it.
  received_us INTEGER NOT NULL,
  UNIQUE (numbering, source_seq)
) STRICT;

CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
WHEN NOT (NEW.body IS NULL AND NEW.ledger_seq = OLD.ledger_seq AND NEW.numbering = OLD.numbering
          AND NEW.source_seq = OLD.source_seq AND NEW.kind = OLD.kind AND NEW.time_us = OLD.time_us
          AND NEW.sum = OLD.sum AND NEW.received_us = OLD.received_us)
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;

CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;

-- The personal part of events, apart from them, so that it can be deleted while the money stays.
CREATE TABLE credentials (
  ledger_seq INTEGER PRIMARY KEY REFERENCES events (ledger_seq),
  -- What a shopper entered with: a token, never a name.
  credential TEXT    NOT NULL
) STRICT;

CREATE INDEX credentials_by_credential ON credentials (credential);

-- Events that came with a number the ledger has, but with another content. The first content stays; this table keeps
-- the last of the others, without its credential, for people to look at. At most one row per event, so it is bounded.
CREATE TABLE conflicts (
  ledger_seq INTEGER PRIMARY KEY REFERENCES events (ledger_seq),
  times      INTEGER NOT NULL CHECK (times >= 1),
  last_us    INTEGER NOT NULL,
  time_us    INTEGER NOT NULL,
  body       TEXT    NOT NULL CHECK (json_valid(body))
) STRICT;

-- Numbers that will never come: the source has said that it can no longer send them (its disk was lost, its journal
-- was trimmed under another ledger). The acknowledgement goes on after them; `store-sync check` lists them.
CREATE TABLE losses (
  numbering INTEGER NOT NULL REFERENCES numberings (numbering),
  from_seq  INTEGER NOT NULL CHECK (from_seq >= 1),
  to_seq    INTEGER NOT NULL CHECK (to_seq >= from_seq),
  noted_us  INTEGER NOT NULL,
  PRIMARY KEY (numbering, from_seq)
) STRICT, WITHOUT ROWID;

-- Ids that this ledger had before it was put back from a copy. After each, the numbers above `last_seq` may mean other
-- events elsewhere than here, which is why the id was changed.
CREATE TABLE former_ids (
  ledger_id TEXT    PRIMARY KEY CHECK (length(ledger_id) = 36),
  last_seq  INTEGER NOT NULL CHECK (last_seq >= 0),
  until_us  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What the cloud has told this store, and what the store has decided. Kept for ever: it is what the store acts on.
CREATE TABLE commands (
  -- The cloud's numbering of this store's commands: 1, 2, 3 ... taken without gaps.
  command_seq INTEGER PRIMARY KEY CHECK (command_seq >= 1),
  command     TEXT    NOT NULL UNIQUE CHECK (length(command) BETWEEN 1 AND 64),
  kind        TEXT    NOT NULL CHECK (length(kind) BETWEEN 1 AND 64),
  version     INTEGER NOT NULL CHECK (version >= 0),
  -- The whole command as it came.
  told        TEXT    NOT NULL CHECK (json_valid(told)),
  accepted    INTEGER NOT NULL CHECK (accepted IN (0, 1)),
  -- Why it was refused.
  reason      TEXT             CHECK ((reason IS NULL) = accepted),
  received_us INTEGER NOT NULL
) STRICT;

-- The newest command of each kind that says how things are (catalogue, prices, planogram, models, policies).
CREATE TABLE in_force (
  kind        TEXT    PRIMARY KEY,
  version     INTEGER NOT NULL CHECK (version >= 0),
  command_seq INTEGER NOT NULL REFERENCES commands (command_seq)
) STRICT, WITHOUT ROWID;
