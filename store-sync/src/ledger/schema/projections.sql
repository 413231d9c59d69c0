-- What follows from the ledger's events, in a file of its own (projections.sqlite): brought up to date right after the
-- events are durable, made again by `store-sync rebuild`. Losing this file loses nothing.
--
-- A projection holds nothing that depends on when or in which order events arrived: no wall clock, no ledger_seq. What
-- a later event replaces carries the identity of the event that wrote it (by_epoch, by_source, by_seq); the greatest
-- identity wins, whichever came first. Epochs are UUIDv7, so their text sorts by age.
--
-- The constraints here decide what a sound event is: an event that breaks one stays in `events` (nothing is lost, and
-- its source is acknowledged), changes nothing else, and is listed in `oddities`.

-- One row: what these projections were made of.
CREATE TABLE projected (
  one        INTEGER PRIMARY KEY CHECK (one = 1),
  -- Which projections.sql and project.rs made them; another number makes them again.
  version    INTEGER NOT NULL,
  -- Of which ledger. A ledger that was put back from a copy has another id.
  ledger_id  TEXT    NOT NULL,
  -- The last event that is in them, and its sum: another event there now means that the file was put back by hand.
  ledger_seq INTEGER NOT NULL CHECK (ledger_seq >= 0),
  sum        INTEGER NOT NULL
) STRICT;

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
  -- The plate that changed most in this event.
  main     INTEGER NOT NULL CHECK (main IN (0, 1)),
  PRIMARY KEY (source, epoch, seq, plate),
  FOREIGN KEY (source, epoch, seq) REFERENCES shelf_events (source, epoch, seq) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX shelf_event_plates_by_plate ON shelf_event_plates (plate, end_us);

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
  -- Who, when it is a robot.
  robot        TEXT             CHECK (length(robot) <= 200),
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

-- Answers to reviews: what the shopper pays for a line that had been in review.
CREATE TABLE review_answers (
  visit        TEXT    NOT NULL CHECK (length(visit) BETWEEN 1 AND 64),
  sku          TEXT    NOT NULL CHECK (length(sku) BETWEEN 1 AND 64),
  quantity     INTEGER NOT NULL CHECK (quantity BETWEEN 0 AND 1000000),
  currency     TEXT    NOT NULL CHECK (currency GLOB '[A-Z][A-Z][A-Z]'),
  charge_minor INTEGER NOT NULL CHECK (charge_minor BETWEEN 0 AND 1000000000000),
  -- How that came about, JSON; empty where no price rules made it.
  steps        TEXT    NOT NULL CHECK (json_type(steps) = 'array'),
  answered_us  INTEGER NOT NULL,
  by_epoch     TEXT    NOT NULL,
  by_source    TEXT    NOT NULL,
  by_seq       INTEGER NOT NULL,
  PRIMARY KEY (visit, sku)
) STRICT, WITHOUT ROWID;

CREATE TABLE refunds (
  refund       TEXT    PRIMARY KEY CHECK (length(refund) BETWEEN 1 AND 64),
  visit        TEXT    NOT NULL CHECK (length(visit) BETWEEN 1 AND 64),
  currency     TEXT    NOT NULL CHECK (currency GLOB '[A-Z][A-Z][A-Z]'),
  amount_minor INTEGER NOT NULL CHECK (amount_minor BETWEEN 1 AND 1000000000000),
  reason       TEXT    NOT NULL CHECK (length(reason) <= 1000),
  issued_us    INTEGER NOT NULL,
  by_epoch     TEXT    NOT NULL,
  by_source    TEXT    NOT NULL,
  by_seq       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX refunds_by_visit ON refunds (visit);

CREATE TABLE refund_lines (
  refund       TEXT    NOT NULL REFERENCES refunds (refund) ON DELETE CASCADE,
  sku          TEXT    NOT NULL CHECK (length(sku) BETWEEN 1 AND 64),
  quantity     INTEGER NOT NULL CHECK (quantity BETWEEN 1 AND 1000000),
  amount_minor INTEGER NOT NULL CHECK (amount_minor BETWEEN 0 AND 1000000000000),
  PRIMARY KEY (refund, sku)
) STRICT, WITHOUT ROWID;

-- Price rules, by version.
CREATE TABLE price_rules (
  version   INTEGER PRIMARY KEY CHECK (version >= 0),
  -- Visits that begin now or later are priced by them, until newer ones follow.
  from_us   INTEGER NOT NULL,
  rules     TEXT    NOT NULL CHECK (json_type(rules) = 'object'),
  by_epoch  TEXT    NOT NULL,
  by_source TEXT    NOT NULL,
  by_seq    INTEGER NOT NULL
) STRICT;

-- What receipts cost by price rules. Of the event that closed the visit: a later one for the same visit has another
-- price. What was said first about an event stays. No foreign key to receipts: a price may arrive before its receipt.
CREATE TABLE receipt_prices (
  visit           TEXT    NOT NULL CHECK (length(visit) BETWEEN 1 AND 64),
  closed_epoch    TEXT    NOT NULL,
  closed_source   TEXT    NOT NULL CHECK (length(closed_source) BETWEEN 1 AND 64),
  closed_seq      INTEGER NOT NULL CHECK (closed_seq >= 1),
  -- Of the price rules; 0 where there were none.
  version         INTEGER NOT NULL CHECK (version >= 0),
  -- Of the chain's unit prices.
  prices_version  INTEGER          CHECK (prices_version >= 0),
  charge_minor    INTEGER NOT NULL CHECK (charge_minor >= 0),
  in_review_minor INTEGER NOT NULL CHECK (in_review_minor >= 0),
  points_earned   INTEGER NOT NULL CHECK (points_earned >= 0),
  -- Who is owed what of what is charged, JSON.
  sellers         TEXT    NOT NULL CHECK (json_type(sellers) = 'array'),
  by_epoch        TEXT    NOT NULL,
  by_source       TEXT    NOT NULL,
  by_seq          INTEGER NOT NULL,
  PRIMARY KEY (visit, closed_epoch, closed_source, closed_seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE receipt_price_lines (
  visit         TEXT    NOT NULL,
  closed_epoch  TEXT    NOT NULL,
  closed_source TEXT    NOT NULL,
  closed_seq    INTEGER NOT NULL,
  sku           TEXT    NOT NULL CHECK (length(sku) BETWEEN 1 AND 64),
  -- Of one, by the chain's prices, where the floor told another price.
  unit_price_minor INTEGER       CHECK (unit_price_minor >= 0),
  amount_minor  INTEGER NOT NULL CHECK (amount_minor >= 0),
  tax_minor     INTEGER NOT NULL CHECK (tax_minor >= 0),
  seller        TEXT    NOT NULL CHECK (length(seller) BETWEEN 1 AND 64),
  -- What each rule did, JSON.
  steps         TEXT    NOT NULL CHECK (json_type(steps) = 'array'),
  PRIMARY KEY (visit, closed_epoch, closed_source, closed_seq, sku),
  FOREIGN KEY (visit, closed_epoch, closed_source, closed_seq)
    REFERENCES receipt_prices (visit, closed_epoch, closed_source, closed_seq) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Receipts as they are charged: by the chain's prices and rules where there were any, else as the floor told them.
CREATE VIEW priced_receipts AS
SELECT r.visit, r.credential, r.entered_us, r.left_us, r.currency,
       coalesce(p.charge_minor, r.charge_minor) AS charge_minor,
       coalesce(p.in_review_minor, r.in_review_minor) AS in_review_minor,
       iif(p.version = 0 AND p.prices_version IS NOT NULL, NULL, p.version) AS rules_version, p.prices_version
FROM receipts r LEFT JOIN receipt_prices p
  ON p.visit = r.visit AND p.closed_epoch = r.by_epoch AND p.closed_source = r.by_source AND p.closed_seq = r.by_seq;

CREATE VIEW priced_lines AS
SELECT l.visit, l.sku, l.name, l.quantity, coalesce(p.unit_price_minor, l.unit_price_minor) AS unit_price_minor,
       l.probability, l.review,
       coalesce(p.amount_minor, l.quantity * l.unit_price_minor) AS amount_minor, coalesce(p.steps, '[]') AS steps
FROM receipt_lines l JOIN receipts r ON r.visit = l.visit LEFT JOIN receipt_price_lines p
  ON p.visit = r.visit AND p.closed_epoch = r.by_epoch AND p.closed_source = r.by_source AND p.closed_seq = r.by_seq
     AND p.sku = l.sku;

-- Lines that shoppers contest.
CREATE TABLE contests (
  contest      TEXT    PRIMARY KEY CHECK (length(contest) BETWEEN 1 AND 64),
  visit        TEXT    NOT NULL CHECK (length(visit) BETWEEN 1 AND 64),
  sku          TEXT    NOT NULL CHECK (length(sku) BETWEEN 1 AND 64),
  currency     TEXT    NOT NULL CHECK (currency GLOB '[A-Z][A-Z][A-Z]'),
  -- What is in dispute.
  amount_minor INTEGER NOT NULL CHECK (amount_minor BETWEEN 0 AND 1000000000000),
  state        TEXT    NOT NULL CHECK (state IN ('open', 'refunded', 'upheld')),
  changed_us   INTEGER NOT NULL,
  by_epoch     TEXT    NOT NULL,
  by_source    TEXT    NOT NULL,
  by_seq       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX contests_by_visit ON contests (visit);

-- What each visit comes to.
CREATE VIEW payments AS
SELECT r.visit, r.currency, r.charge_minor,
       coalesce((SELECT sum(a.charge_minor) FROM review_answers a WHERE a.visit = r.visit), 0) AS answered_minor,
       coalesce((SELECT sum(f.amount_minor) FROM refunds f WHERE f.visit = r.visit), 0) AS refunded_minor,
       -- In review, and nobody has looked yet.
       coalesce((SELECT sum(l.amount_minor) FROM priced_lines l WHERE l.visit = r.visit AND l.review
                 AND NOT EXISTS (SELECT 1 FROM review_answers a WHERE (a.visit, a.sku) = (l.visit, l.sku))), 0)
         AS open_minor,
       -- In dispute: contested, and nobody has answered yet.
       coalesce((SELECT sum(c.amount_minor) FROM contests c WHERE c.visit = r.visit AND c.state = 'open'), 0)
         AS contested_minor
FROM priced_receipts r;

-- How the payment of each visit stands with the gateway, as last told.
CREATE TABLE trips (
  visit            TEXT    PRIMARY KEY CHECK (length(visit) BETWEEN 1 AND 64),
  currency         TEXT    NOT NULL CHECK (currency GLOB '[A-Z][A-Z][A-Z]'),
  state            TEXT    NOT NULL CHECK (state IN ('open', 'bad_debt', 'by_hand')),
  -- How many questions were begun; `visit:step` is the last one's key.
  step             INTEGER NOT NULL CHECK (step >= 0),
  -- The question under way: all of these, or none.
  ask              TEXT             CHECK (ask IN ('authorise', 'capture', 'release', 'refund', 'contest')),
  ask_minor        INTEGER          CHECK (ask_minor BETWEEN 0 AND 1000000000000),
  -- What the payer was asked for before under the same key, as a JSON list of minor units.
  ask_earlier      TEXT             CHECK (json_valid(ask_earlier)),
  ask_since_us     INTEGER,
  silences         INTEGER          CHECK (silences >= 0),
  pending          INTEGER          CHECK (pending IN (0, 1)),
  authorised_minor INTEGER NOT NULL CHECK (authorised_minor BETWEEN 0 AND 1000000000000),
  captured_minor   INTEGER NOT NULL CHECK (captured_minor BETWEEN 0 AND 1000000000000),
  refunded_minor   INTEGER NOT NULL CHECK (refunded_minor BETWEEN 0 AND captured_minor),
  -- Of what was taken, what the gateway was told is in dispute.
  disputed_minor   INTEGER NOT NULL CHECK (disputed_minor BETWEEN 0 AND 1000000000000),
  hold_declined    INTEGER NOT NULL CHECK (hold_declined IN (0, 1)),
  reference        TEXT             CHECK (length(reference) BETWEEN 1 AND 200),
  reason           TEXT             CHECK (length(reason) <= 1000),
  changed_us       INTEGER NOT NULL,
  by_epoch         TEXT    NOT NULL,
  by_source        TEXT    NOT NULL,
  by_seq           INTEGER NOT NULL,
  CHECK ((ask IS NULL) = (ask_minor IS NULL) AND (ask IS NULL) = (ask_since_us IS NULL)
         AND (ask IS NULL) = (ask_earlier IS NULL)
         AND (ask IS NULL) = (silences IS NULL) AND (ask IS NULL) = (pending IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX trips_by_state ON trips (state) WHERE state <> 'open';

-- Plates as somebody last counted them.
CREATE TABLE stock_counts (
  plate      TEXT    PRIMARY KEY CHECK (length(plate) BETWEEN 1 AND 64),
  sku        TEXT    NOT NULL CHECK (length(sku) BETWEEN 1 AND 64),
  quantity   INTEGER NOT NULL CHECK (quantity BETWEEN 0 AND 1000000),
  counted_us INTEGER NOT NULL,
  by_epoch   TEXT    NOT NULL,
  by_source  TEXT    NOT NULL,
  by_seq     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Every count, for how long a product was out of stock.
CREATE TABLE counts (
  by_epoch   TEXT    NOT NULL,
  by_source  TEXT    NOT NULL,
  by_seq     INTEGER NOT NULL,
  plate      TEXT    NOT NULL CHECK (length(plate) BETWEEN 1 AND 64),
  sku        TEXT    NOT NULL CHECK (length(sku) BETWEEN 1 AND 64),
  quantity   INTEGER NOT NULL CHECK (quantity BETWEEN 0 AND 1000000),
  counted_us INTEGER NOT NULL,
  PRIMARY KEY (by_epoch, by_source, by_seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX counts_by_time ON counts (counted_us);

-- Hours whose insights were told.
CREATE TABLE hours_told (
  hour_us INTEGER PRIMARY KEY
) STRICT;

-- Stock per plate: the last count, less what was taken since as far as it is explained with better odds than not, and
-- never more than the count less what was picked there for orders: a pick that no scale noticed is gone all the same.
-- Beside it the weight that went since, whatever explains it. A shelf event over several plates counts for the one that
-- changed most.
CREATE VIEW stock AS
SELECT c.plate, c.sku, c.quantity AS counted, c.counted_us,
       c.quantity - max(coalesce((
         SELECT sum(a.quantity) FROM shelf_event_plates p
         JOIN attribution_candidates a ON (a.shelf_source, a.shelf_epoch, a.shelf_seq) = (p.source, p.epoch, p.seq)
         WHERE p.plate = c.plate AND p.main AND p.end_us > c.counted_us AND a.sku = c.sku AND a.probability >= 0.5
       ), 0), coalesce((
         SELECT sum(t.quantity) FROM tasks t
         WHERE t.plate = c.plate AND t.sku = c.sku AND t.kind = 'pick' AND t.state = 'done' AND t.changed_us > c.counted_us
       ), 0)) AS quantity,
       coalesce((SELECT sum(p.delta_g) FROM shelf_event_plates p WHERE p.plate = c.plate AND p.end_us > c.counted_us),
                0.0) AS delta_g
FROM stock_counts c;

-- Online orders, as last told.
CREATE TABLE orders (
  order_id            TEXT    PRIMARY KEY CHECK (length(order_id) BETWEEN 1 AND 64),
  state               TEXT    NOT NULL CHECK (state IN ('received', 'picking', 'asking', 'ready', 'on_the_way',
                                                        'handed_over', 'cancelled')),
  reason              TEXT             CHECK (length(reason) <= 1000),
  -- Where it was placed; NULL when nobody said.
  channel             TEXT             CHECK (length(channel) BETWEEN 1 AND 64),
  placed_us           INTEGER,
  -- When it is promised for.
  due_us              INTEGER,
  handover            TEXT             CHECK (handover IN ('locker', 'counter', 'courier', 'agent')),
  if_short            TEXT             CHECK (if_short IN ('ask', 'substitute', 'partial', 'cancel')),
  -- What the customer is being asked: all of these, or none. A substitute need not be on offer.
  question_sku        TEXT             CHECK (length(question_sku) BETWEEN 1 AND 64),
  question_missing    INTEGER          CHECK (question_missing BETWEEN 1 AND 1000000),
  question_substitute TEXT             CHECK (length(question_substitute) BETWEEN 1 AND 64),
  question_until_us   INTEGER,
  -- Its money, where the store has to do with it: all of these, or none. A reference need not be known.
  currency            TEXT             CHECK (currency GLOB '[A-Z][A-Z][A-Z]'),
  amount_minor        INTEGER          CHECK (amount_minor BETWEEN 0 AND 1000000000000),
  released_minor      INTEGER          CHECK (released_minor BETWEEN 0 AND amount_minor),
  money_state         TEXT             CHECK (money_state IN ('due', 'held', 'released', 'returned')),
  money_reference     TEXT             CHECK (length(money_reference) BETWEEN 1 AND 64),
  changed_us          INTEGER NOT NULL,
  by_epoch            TEXT    NOT NULL,
  by_source           TEXT    NOT NULL,
  by_seq              INTEGER NOT NULL,
  CHECK ((question_sku IS NULL) = (question_missing IS NULL) AND (question_sku IS NULL) = (question_until_us IS NULL)),
  CHECK ((currency IS NULL) = (amount_minor IS NULL) AND (currency IS NULL) = (released_minor IS NULL)
         AND (currency IS NULL) = (money_state IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX orders_by_state ON orders (state, changed_us);

CREATE TABLE order_lines (
  order_id         TEXT    NOT NULL REFERENCES orders (order_id) ON DELETE CASCADE,
  sku              TEXT    NOT NULL CHECK (length(sku) BETWEEN 1 AND 64),
  -- Its place in the order.
  line             INTEGER NOT NULL CHECK (line >= 0),
  quantity         INTEGER NOT NULL CHECK (quantity BETWEEN 1 AND 1000000),
  picked           INTEGER NOT NULL CHECK (picked BETWEEN 0 AND quantity),
  -- How many the customer will not get, and knows.
  given_up         INTEGER NOT NULL CHECK (given_up BETWEEN 0 AND quantity - picked),
  -- What the customer would take instead: a JSON array of SKUs, the best first.
  substitutes      TEXT    NOT NULL CHECK (json_type(substitutes) = 'array'),
  instead_of       TEXT             CHECK (length(instead_of) BETWEEN 1 AND 64),
  unit_price_minor INTEGER          CHECK (unit_price_minor BETWEEN 0 AND 1000000000000),
  PRIMARY KEY (order_id, sku)
) STRICT, WITHOUT ROWID;

-- What robots or people are to do. No foreign key to orders: a task may be told before its order arrives here.
CREATE TABLE tasks (
  task       TEXT    PRIMARY KEY CHECK (length(task) BETWEEN 1 AND 64),
  kind       TEXT    NOT NULL CHECK (kind IN ('pick', 'restock', 'return', 'tidy')),
  -- The order that it is for; NULL for the store's own work.
  order_id   TEXT             CHECK (length(order_id) BETWEEN 1 AND 64),
  sku        TEXT    NOT NULL CHECK (length(sku) BETWEEN 1 AND 64),
  quantity   INTEGER NOT NULL CHECK (quantity BETWEEN 1 AND 1000000),
  plate      TEXT    NOT NULL CHECK (length(plate) BETWEEN 1 AND 64),
  -- A robot's id, or `staff`; NULL for nobody yet.
  assignee   TEXT             CHECK (length(assignee) BETWEEN 1 AND 64),
  state      TEXT    NOT NULL CHECK (state IN ('waiting', 'assigned', 'underway', 'done', 'failed', 'cancelled')),
  reason     TEXT             CHECK (length(reason) <= 1000),
  changed_us INTEGER NOT NULL,
  by_epoch   TEXT    NOT NULL,
  by_source  TEXT    NOT NULL,
  by_seq     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX tasks_by_order ON tasks (order_id);
CREATE INDEX tasks_by_plate ON tasks (plate) WHERE kind = 'pick' AND state = 'done';
CREATE INDEX tasks_to_do ON tasks (task) WHERE state IN ('waiting', 'assigned', 'underway');

-- Events that break a constraint above, and which.
CREATE TABLE oddities (
  source TEXT    NOT NULL,
  epoch  TEXT    NOT NULL,
  seq    INTEGER NOT NULL,
  reason TEXT    NOT NULL,
  PRIMARY KEY (source, epoch, seq)
) STRICT, WITHOUT ROWID;
