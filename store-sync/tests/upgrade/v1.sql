PRAGMA application_id=1279675463;
PRAGMA user_version=1;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
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
INSERT INTO ledger VALUES(1,'01a205f9-27f5-7669-a2ba-c6a80e907b2e','nano',1,1);
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
INSERT INTO events VALUES(1,'gate-1','019b0000-0000-7000-8000-000000000001',1,'gate_passed',1769639041000000,'{"kind":"gate_passed","gate":"door","direction":"entry","credential":"cred-v1","party":1}',2);
INSERT INTO events VALUES(2,'floor-1','019b0000-0000-7000-8000-000000000001',1,'visit_opened',1769639041000000,'{"kind":"visit_opened","visit":"v1","credential":"cred-v1","party":1}',2);
INSERT INTO events VALUES(3,'gate-1','019b0000-0000-7000-8000-000000000001',2,'gate_passed',1769639043000000,'{"kind":"gate_passed","gate":"door","direction":"entry","credential":"cred-v2","party":1}',2);
INSERT INTO events VALUES(4,'floor-1','019b0000-0000-7000-8000-000000000001',2,'visit_opened',1769639043000000,'{"kind":"visit_opened","visit":"v2","credential":"cred-v2","party":1}',2);
INSERT INTO events VALUES(5,'shelf-1','019b0000-0000-7000-8000-000000000001',1,'shelf_changed',1769639050000000,'{"kind":"shelf_changed","plates":[{"plate":"1/5/10","delta_g":-538.0,"sd_g":2.0,"start_us":1769639048000000,"end_us":1769639050000000}],"delta_g":-538.0,"sd_g":2.0,"start_us":1769639048000000,"end_us":1769639050000000}',2);
INSERT INTO events VALUES(6,'floor-1','019b0000-0000-7000-8000-000000000001',3,'item_attributed',1769639051000000,'{"kind":"item_attributed","shelf_source":"shelf-1","shelf_epoch":"019b0000-0000-7000-8000-000000000001","shelf_seq":1,"candidates":[{"visit":"v1","sku":"632565000012","quantity":1,"probability":0.97},{"visit":null,"sku":null,"quantity":0,"probability":0.030000000000000027}]}',2);
INSERT INTO events VALUES(7,'floor-1','019b0000-0000-7000-8000-000000000001',4,'cart_changed',1769639051000000,'{"kind":"cart_changed","visit":"v1","lines":[{"sku":"632565000012","name":"Product 632565000012","quantity":1,"unit_price_minor":199,"probability":0.97,"review":false}]}',2);
INSERT INTO events VALUES(8,'shelf-1','019b0000-0000-7000-8000-000000000001',2,'shelf_changed',1769639060000000,'{"kind":"shelf_changed","plates":[{"plate":"1/5/11","delta_g":-200.5,"sd_g":2.0,"start_us":1769639058000000,"end_us":1769639060000000}],"delta_g":-200.5,"sd_g":2.0,"start_us":1769639058000000,"end_us":1769639060000000}',2);
INSERT INTO events VALUES(9,'floor-1','019b0000-0000-7000-8000-000000000001',5,'item_attributed',1769639061000000,'{"kind":"item_attributed","shelf_source":"shelf-1","shelf_epoch":"019b0000-0000-7000-8000-000000000001","shelf_seq":2,"candidates":[{"visit":"v1","sku":"632565000029","quantity":1,"probability":0.6},{"visit":null,"sku":null,"quantity":0,"probability":0.4}]}',2);
INSERT INTO events VALUES(10,'floor-1','019b0000-0000-7000-8000-000000000001',6,'cart_changed',1769639061000000,'{"kind":"cart_changed","visit":"v1","lines":[{"sku":"632565000012","name":"Product 632565000012","quantity":1,"unit_price_minor":199,"probability":0.97,"review":false},{"sku":"632565000029","name":"Product 632565000029","quantity":1,"unit_price_minor":199,"probability":0.6,"review":true}]}',2);
INSERT INTO events VALUES(11,'floor-1','019b0000-0000-7000-8000-000000000001',7,'item_attributed',1769639062000000,'{"kind":"item_attributed","shelf_source":"shelf-1","shelf_epoch":"019b0000-0000-7000-8000-000000000001","shelf_seq":2,"candidates":[{"visit":"v2","sku":"632565000029","quantity":1,"probability":0.9},{"visit":null,"sku":null,"quantity":0,"probability":0.09999999999999998}]}',2);
INSERT INTO events VALUES(12,'floor-1','019b0000-0000-7000-8000-000000000001',8,'cart_changed',1769639062000000,'{"kind":"cart_changed","visit":"v1","lines":[{"sku":"632565000012","name":"Product 632565000012","quantity":1,"unit_price_minor":199,"probability":0.97,"review":false}]}',2);
INSERT INTO events VALUES(13,'floor-1','019b0000-0000-7000-8000-000000000001',9,'cart_changed',1769639062000000,'{"kind":"cart_changed","visit":"v2","lines":[{"sku":"632565000029","name":"Product 632565000029","quantity":1,"unit_price_minor":199,"probability":0.9,"review":false}]}',2);
INSERT INTO events VALUES(14,'shelf-1','019b0000-0000-7000-8000-000000000001',3,'shelf_changed',1769639070000000,'{"kind":"shelf_changed","plates":[{"plate":"1/5/11","delta_g":200.25,"sd_g":2.0,"start_us":1769639068000000,"end_us":1769639070000000}],"delta_g":200.25,"sd_g":2.0,"start_us":1769639068000000,"end_us":1769639070000000}',2);
INSERT INTO events VALUES(15,'floor-1','019b0000-0000-7000-8000-000000000001',10,'item_attributed',1769639071000000,'{"kind":"item_attributed","shelf_source":"shelf-1","shelf_epoch":"019b0000-0000-7000-8000-000000000001","shelf_seq":3,"candidates":[{"visit":"v2","sku":"632565000029","quantity":1,"probability":0.95},{"visit":null,"sku":null,"quantity":0,"probability":0.050000000000000044}]}',2);
INSERT INTO events VALUES(16,'floor-1','019b0000-0000-7000-8000-000000000001',11,'cart_changed',1769639071000000,'{"kind":"cart_changed","visit":"v2","lines":[]}',2);
INSERT INTO events VALUES(17,'floor-1','019b0000-0000-7000-8000-000000000001',12,'visit_closed',1769639080000000,'{"kind":"visit_closed","visit":"v1","credential":"cred-v1","entered_us":1769639041000000,"left_us":1769639080000000,"currency":"USD","lines":[{"sku":"632565000012","name":"Product 632565000012","quantity":1,"unit_price_minor":199,"probability":0.97,"review":false}],"charge_minor":199,"in_review_minor":0}',2);
INSERT INTO events VALUES(18,'floor-1','019b0000-0000-7000-8000-000000000001',13,'visit_closed',1769639085000000,'{"kind":"visit_closed","visit":"v2","credential":"cred-v2","entered_us":1769639043000000,"left_us":1769639085000000,"currency":"USD","lines":[],"charge_minor":0,"in_review_minor":0}',2);
INSERT INTO events VALUES(19,'shelf-1','019b0000-0000-7000-8000-000000000001',4,'device_fault',1769639086000000,'{"kind":"device_fault","device":"1/5/12","fault":"nan_weight","message":"plate 1/5/12 sends NaN: check its cable","cleared":false}',2);
INSERT INTO events VALUES(20,'floor-1','019b0000-0000-7000-8000-000000000001',14,'cart_changed',1769639100000000,'{"kind":"cart_changed","visit":"v7","lines":[{"sku":"a","name":"Product a","quantity":1,"unit_price_minor":199,"probability":1.5,"review":false}]}',4);
INSERT INTO events VALUES(21,'floor-1','019b0000-0000-7000-8000-000000000001',17,'visit_opened',1769639101000000,'{"kind":"visit_opened","visit":"v7","credential":"cred-v7","party":1}',4);
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
INSERT INTO conflicts VALUES('floor-1','019b0000-0000-7000-8000-000000000001',1,1,3,1769639041000000,'{"kind":"visit_opened","visit":"v9","credential":"cred-v9","party":1}');
CREATE TABLE losses (
  source   TEXT    NOT NULL,
  epoch    TEXT    NOT NULL CHECK (length(epoch) = 36),
  from_seq INTEGER NOT NULL CHECK (from_seq >= 1),
  to_seq   INTEGER NOT NULL CHECK (to_seq >= from_seq),
  noted_us INTEGER NOT NULL,
  PRIMARY KEY (source, epoch, from_seq)
) STRICT, WITHOUT ROWID;
INSERT INTO losses VALUES('floor-1','019b0000-0000-7000-8000-000000000001',15,16,5);
CREATE TABLE outbox (
  one              INTEGER PRIMARY KEY CHECK (one = 1),
  -- Every event up to this ledger_seq is in the cloud, as the cloud itself has said.
  acknowledged_seq INTEGER NOT NULL CHECK (acknowledged_seq >= 0)
) STRICT;
INSERT INTO outbox VALUES(1,7);
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
INSERT INTO sources VALUES('floor-1','019b0000-0000-7000-8000-000000000001',17,17,15,1769639101000000);
INSERT INTO sources VALUES('gate-1','019b0000-0000-7000-8000-000000000001',2,2,2,1769639043000000);
INSERT INTO sources VALUES('shelf-1','019b0000-0000-7000-8000-000000000001',4,4,4,1769639086000000);
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
INSERT INTO visits VALUES('v1','cred-v1',1,1769639041000000,'019b0000-0000-7000-8000-000000000001','floor-1',1);
INSERT INTO visits VALUES('v2','cred-v2',1,1769639043000000,'019b0000-0000-7000-8000-000000000001','floor-1',2);
INSERT INTO visits VALUES('v7','cred-v7',1,1769639101000000,'019b0000-0000-7000-8000-000000000001','floor-1',17);
CREATE TABLE carts (
  visit      TEXT    PRIMARY KEY CHECK (length(visit) BETWEEN 1 AND 64),
  changed_us INTEGER NOT NULL,
  by_epoch   TEXT    NOT NULL,
  by_source  TEXT    NOT NULL,
  by_seq     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO carts VALUES('v1',1769639062000000,'019b0000-0000-7000-8000-000000000001','floor-1',8);
INSERT INTO carts VALUES('v2',1769639071000000,'019b0000-0000-7000-8000-000000000001','floor-1',11);
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
INSERT INTO cart_lines VALUES('v1','632565000012','Product 632565000012',1,199,0.96999999999999997335,0);
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
INSERT INTO receipts VALUES('v1','cred-v1',1769639041000000,1769639080000000,'USD',199,0,'019b0000-0000-7000-8000-000000000001','floor-1',12);
INSERT INTO receipts VALUES('v2','cred-v2',1769639043000000,1769639085000000,'USD',0,0,'019b0000-0000-7000-8000-000000000001','floor-1',13);
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
INSERT INTO receipt_lines VALUES('v1','632565000012','Product 632565000012',1,199,0.96999999999999997335,0);
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
INSERT INTO shelf_events VALUES('shelf-1','019b0000-0000-7000-8000-000000000001',1,1769639050000000,1769639048000000,1769639050000000,-538.0,2.0);
INSERT INTO shelf_events VALUES('shelf-1','019b0000-0000-7000-8000-000000000001',2,1769639060000000,1769639058000000,1769639060000000,-200.50000000000000001,2.0);
INSERT INTO shelf_events VALUES('shelf-1','019b0000-0000-7000-8000-000000000001',3,1769639070000000,1769639068000000,1769639070000000,200.25,2.0);
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
INSERT INTO shelf_event_plates VALUES('shelf-1','019b0000-0000-7000-8000-000000000001',1,'1/5/10',-538.0,2.0,1769639048000000,1769639050000000);
INSERT INTO shelf_event_plates VALUES('shelf-1','019b0000-0000-7000-8000-000000000001',2,'1/5/11',-200.50000000000000001,2.0,1769639058000000,1769639060000000);
INSERT INTO shelf_event_plates VALUES('shelf-1','019b0000-0000-7000-8000-000000000001',3,'1/5/11',200.25,2.0,1769639068000000,1769639070000000);
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
INSERT INTO attributions VALUES('shelf-1','019b0000-0000-7000-8000-000000000001',1,1769639051000000,'019b0000-0000-7000-8000-000000000001','floor-1',3);
INSERT INTO attributions VALUES('shelf-1','019b0000-0000-7000-8000-000000000001',2,1769639062000000,'019b0000-0000-7000-8000-000000000001','floor-1',7);
INSERT INTO attributions VALUES('shelf-1','019b0000-0000-7000-8000-000000000001',3,1769639071000000,'019b0000-0000-7000-8000-000000000001','floor-1',10);
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
INSERT INTO attribution_candidates VALUES('shelf-1','019b0000-0000-7000-8000-000000000001',1,1,'v1','632565000012',1,0.96999999999999997335);
INSERT INTO attribution_candidates VALUES('shelf-1','019b0000-0000-7000-8000-000000000001',1,2,NULL,NULL,0,0.030000000000000026645);
INSERT INTO attribution_candidates VALUES('shelf-1','019b0000-0000-7000-8000-000000000001',2,1,'v2','632565000029',1,0.9000000000000000222);
INSERT INTO attribution_candidates VALUES('shelf-1','019b0000-0000-7000-8000-000000000001',2,2,NULL,NULL,0,0.099999999999999977795);
INSERT INTO attribution_candidates VALUES('shelf-1','019b0000-0000-7000-8000-000000000001',3,1,'v2','632565000029',1,0.94999999999999995559);
INSERT INTO attribution_candidates VALUES('shelf-1','019b0000-0000-7000-8000-000000000001',3,2,NULL,NULL,0,0.050000000000000044408);
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
INSERT INTO gate_passages VALUES('gate-1','019b0000-0000-7000-8000-000000000001',1,1769639041000000,'door','entry','cred-v1',1);
INSERT INTO gate_passages VALUES('gate-1','019b0000-0000-7000-8000-000000000001',2,1769639043000000,'door','entry','cred-v2',1);
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
INSERT INTO device_faults VALUES('1/5/12','nan_weight',1769639086000000,'plate 1/5/12 sends NaN: check its cable',0,'019b0000-0000-7000-8000-000000000001','shelf-1',4);
CREATE TABLE oddities (
  source TEXT    NOT NULL,
  epoch  TEXT    NOT NULL,
  seq    INTEGER NOT NULL,
  reason TEXT    NOT NULL,
  PRIMARY KEY (source, epoch, seq)
) STRICT, WITHOUT ROWID;
INSERT INTO oddities VALUES('floor-1','019b0000-0000-7000-8000-000000000001',14,'CHECK constraint failed: probability BETWEEN 0 AND 1');
CREATE INDEX events_by_kind ON events (kind, ledger_seq);
CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE INDEX receipts_by_left ON receipts (left_us);
CREATE INDEX attribution_candidates_by_visit ON attribution_candidates (visit);
COMMIT;
