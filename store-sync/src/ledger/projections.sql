-- What follows from `events`: written in the same transaction as the events, made again by `store-sync rebuild`.
--
-- A projection holds nothing that depends on when or in which order events arrived: no wall clock, no ledger_seq. What
-- a later event replaces carries the identity of the event that wrote it (by_epoch, by_source, by_seq); the greatest
-- identity wins, whichever came first. Epochs are UUIDv7, so their text sorts by age.
--
-- The constraints here decide what a sound event is: an event that breaks one stays in `events` (nothing is lost, and
-- its source is acknowledged), changes nothing else, and is listed in `oddities`.

-- How much of each numbering of each source is there.
CREATE TABLE sources (
  source         TEXT    NOT NULL,
  epoch          TEXT    NOT NULL,
  -- Every number up to this one is in the ledger, or in `losses`: what is acknowledged.
  contiguous_seq INTEGER NOT NULL CHECK (contiguous_seq >= 0),
  highest_seq    INTEGER NOT NULL CHECK (highest_seq >= contiguous_seq),
  -- How many of its events are in the ledger.
  events         INTEGER NOT NULL CHECK (events BETWEEN 0 AND highest_seq),
  -- Event time of the youngest; 0 when there is none.
  last_time_us   INTEGER NOT NULL,
  PRIMARY KEY (source, epoch)
) STRICT, WITHOUT ROWID;

-- Visits that began. A visit that has a receipt has ended.
CREATE TABLE visits (
  visit      TEXT    PRIMARY KEY CHECK (length(visit) BETWEEN 1 AND 64),
  -- What the shopper entered with; NULL for one who was never seen entering.
  credential TEXT             CHECK (length(credential) BETWEEN 1 AND 64),
  party      INTEGER NOT NULL CHECK (party >= 0),
  opened_us  INTEGER NOT NULL,
  by_epoch   TEXT    NOT NULL,
  by_source  TEXT    NOT NULL,
  by_seq     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What each visit holds, as last told.
CREATE TABLE carts (
  visit      TEXT    PRIMARY KEY CHECK (length(visit) BETWEEN 1 AND 64),
  changed_us INTEGER NOT NULL,
  by_epoch   TEXT    NOT NULL,
  by_source  TEXT    NOT NULL,
  by_seq     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE cart_lines (
  visit            TEXT    NOT NULL REFERENCES carts (visit) ON DELETE CASCADE,
  sku              TEXT    NOT NULL CHECK (length(sku) BETWEEN 1 AND 64),
  name             TEXT    NOT NULL CHECK (length(name) <= 1000),
  quantity         INTEGER NOT NULL CHECK (quantity BETWEEN 1 AND 1000000),
  unit_price_minor INTEGER NOT NULL CHECK (unit_price_minor BETWEEN 0 AND 1000000000000),
  probability      REAL    NOT NULL CHECK (probability BETWEEN 0 AND 1),
  review           INTEGER NOT NULL CHECK (review IN (0, 1)),
  PRIMARY KEY (visit, sku)
) STRICT, WITHOUT ROWID;

-- Visits that ended.
CREATE TABLE receipts (
  visit           TEXT    PRIMARY KEY CHECK (length(visit) BETWEEN 1 AND 64),
  credential      TEXT             CHECK (length(credential) BETWEEN 1 AND 64),
  entered_us      INTEGER NOT NULL,
  left_us         INTEGER NOT NULL CHECK (left_us >= entered_us),
  currency        TEXT    NOT NULL CHECK (currency GLOB '[A-Z][A-Z][A-Z]'),
  charge_minor    INTEGER NOT NULL CHECK (charge_minor >= 0),
  in_review_minor INTEGER NOT NULL CHECK (in_review_minor >= 0),
  by_epoch        TEXT    NOT NULL,
  by_source       TEXT    NOT NULL,
  by_seq          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX receipts_by_left ON receipts (left_us);

CREATE TABLE receipt_lines (
  visit            TEXT    NOT NULL REFERENCES receipts (visit) ON DELETE CASCADE,
  sku              TEXT    NOT NULL CHECK (length(sku) BETWEEN 1 AND 64),
  name             TEXT    NOT NULL CHECK (length(name) <= 1000),
  quantity         INTEGER NOT NULL CHECK (quantity BETWEEN 1 AND 1000000),
  unit_price_minor INTEGER NOT NULL CHECK (unit_price_minor BETWEEN 0 AND 1000000000000),
  probability      REAL    NOT NULL CHECK (probability BETWEEN 0 AND 1),
  review           INTEGER NOT NULL CHECK (review IN (0, 1)),
  PRIMARY KEY (visit, sku)
) STRICT, WITHOUT ROWID;

-- Lifts (negative) and puts (positive).
CREATE TABLE shelf_events (
  source   TEXT    NOT NULL,
  epoch    TEXT    NOT NULL,
  seq      INTEGER NOT NULL,
  time_us  INTEGER NOT NULL,
  start_us INTEGER NOT NULL,
  end_us   INTEGER NOT NULL CHECK (end_us >= start_us),
  delta_g  REAL    NOT NULL CHECK (delta_g BETWEEN -1e7 AND 1e7),
  sd_g     REAL    NOT NULL CHECK (sd_g BETWEEN 0 AND 1e7),
  PRIMARY KEY (source, epoch, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE shelf_event_plates (
  source   TEXT    NOT NULL,
  epoch    TEXT    NOT NULL,
  seq      INTEGER NOT NULL,
  plate    TEXT    NOT NULL CHECK (length(plate) BETWEEN 1 AND 64),
  delta_g  REAL    NOT NULL CHECK (delta_g BETWEEN -1e7 AND 1e7),
  sd_g     REAL    NOT NULL CHECK (sd_g BETWEEN 0 AND 1e7),
  -- When this plate was first touched and had settled.
  start_us INTEGER NOT NULL,
  end_us   INTEGER NOT NULL CHECK (end_us >= start_us),
  PRIMARY KEY (source, epoch, seq, plate),
  FOREIGN KEY (source, epoch, seq) REFERENCES shelf_events (source, epoch, seq) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Explanations of shelf events. No foreign key to shelf_events: an explanation may arrive before what it explains.
CREATE TABLE attributions (
  shelf_source TEXT    NOT NULL CHECK (length(shelf_source) BETWEEN 1 AND 64),
  shelf_epoch  TEXT    NOT NULL,
  shelf_seq    INTEGER NOT NULL CHECK (shelf_seq >= 1),
  time_us      INTEGER NOT NULL,
  by_epoch     TEXT    NOT NULL,
  by_source    TEXT    NOT NULL,
  by_seq       INTEGER NOT NULL,
  PRIMARY KEY (shelf_source, shelf_epoch, shelf_seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE attribution_candidates (
  shelf_source TEXT    NOT NULL,
  shelf_epoch  TEXT    NOT NULL,
  shelf_seq    INTEGER NOT NULL,
  -- 1 is the best.
  rank         INTEGER NOT NULL CHECK (rank BETWEEN 1 AND 1000),
  -- Who; NULL for nobody known.
  visit        TEXT             CHECK (length(visit) BETWEEN 1 AND 64),
  -- What; NULL for "nothing was taken or put".
  sku          TEXT             CHECK (length(sku) BETWEEN 1 AND 64),
  -- Taken (positive) or put back (negative).
  quantity     INTEGER NOT NULL,
  probability  REAL    NOT NULL CHECK (probability BETWEEN 0 AND 1),
  PRIMARY KEY (shelf_source, shelf_epoch, shelf_seq, rank),
  FOREIGN KEY (shelf_source, shelf_epoch, shelf_seq)
    REFERENCES attributions (shelf_source, shelf_epoch, shelf_seq) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX attribution_candidates_by_visit ON attribution_candidates (visit);

CREATE TABLE gate_passages (
  source     TEXT    NOT NULL,
  epoch      TEXT    NOT NULL,
  seq        INTEGER NOT NULL,
  time_us    INTEGER NOT NULL,
  gate       TEXT    NOT NULL CHECK (length(gate) BETWEEN 1 AND 64),
  direction  TEXT    NOT NULL CHECK (direction IN ('entry', 'exit')),
  credential TEXT             CHECK (length(credential) BETWEEN 1 AND 64),
  party      INTEGER NOT NULL CHECK (party >= 0),
  PRIMARY KEY (source, epoch, seq)
) STRICT, WITHOUT ROWID;

-- Faults of devices and sensors, as last told by whoever reports them.
CREATE TABLE device_faults (
  device    TEXT    NOT NULL CHECK (length(device) BETWEEN 1 AND 200),
  fault     TEXT    NOT NULL CHECK (length(fault) BETWEEN 1 AND 64),
  time_us   INTEGER NOT NULL,
  message   TEXT    NOT NULL CHECK (length(message) <= 4000),
  cleared   INTEGER NOT NULL CHECK (cleared IN (0, 1)),
  by_epoch  TEXT    NOT NULL,
  by_source TEXT    NOT NULL,
  by_seq    INTEGER NOT NULL,
  PRIMARY KEY (device, fault)
) STRICT, WITHOUT ROWID;

-- Events that break a constraint above, and which.
CREATE TABLE oddities (
  source TEXT    NOT NULL,
  epoch  TEXT    NOT NULL,
  seq    INTEGER NOT NULL,
  reason TEXT    NOT NULL,
  PRIMARY KEY (source, epoch, seq)
) STRICT, WITHOUT ROWID;
