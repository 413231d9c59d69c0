PRAGMA application_id=1279675463;
PRAGMA user_version=3;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE ledger (
  one                 INTEGER PRIMARY KEY CHECK (one = 1),
  -- Drawn when the file is created. Tells the cloud that a new numbering began, should the disk be lost.
  ledger_id           TEXT NOT NULL CHECK (length(ledger_id) = 36),
  -- The store it belongs to: opening it for another store is refused.
  store               TEXT NOT NULL CHECK (length(store) BETWEEN 1 AND 64),
  created_us          INTEGER NOT NULL) STRICT;
INSERT INTO ledger VALUES(1,'01a205f9-27f5-7669-a2ba-c6a80e907b2e','nano',1);
CREATE TABLE outbox (
  one              INTEGER PRIMARY KEY CHECK (one = 1),
  -- Every event up to this ledger_seq is in the cloud, as the cloud itself has said.
  acknowledged_seq INTEGER NOT NULL CHECK (acknowledged_seq >= 0)
) STRICT;
INSERT INTO outbox VALUES(1,7);
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
INSERT INTO numberings VALUES(1,'gate-1','019b0000-0000-7000-8000-000000000001',2,2,2,1769639043000000);
INSERT INTO numberings VALUES(2,'floor-1','019b0000-0000-7000-8000-000000000001',17,17,15,1769639101000000);
INSERT INTO numberings VALUES(3,'shelf-1','019b0000-0000-7000-8000-000000000001',4,4,4,1769639086000000);
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
INSERT INTO events VALUES(1,1,1,'gate_passed',1769639041000000,'{"kind":"gate_passed","gate":"door","direction":"entry","party":1}',992066568,2);
INSERT INTO events VALUES(2,2,1,'visit_opened',1769639041000000,'{"kind":"visit_opened","visit":"v1","credential":null,"party":1}',746679657,2);
INSERT INTO events VALUES(3,1,2,'gate_passed',1769639043000000,'{"kind":"gate_passed","gate":"door","direction":"entry","party":1}',963666059,2);
INSERT INTO events VALUES(4,2,2,'visit_opened',1769639043000000,'{"kind":"visit_opened","visit":"v2","credential":null,"party":1}',1942242878,2);
INSERT INTO events VALUES(5,3,1,'shelf_changed',1769639050000000,'{"kind":"shelf_changed","plates":[{"plate":"1/5/10","delta_g":-538.0,"sd_g":2.0,"start_us":1769639048000000,"end_us":1769639050000000}],"delta_g":-538.0,"sd_g":2.0,"start_us":1769639048000000,"end_us":1769639050000000}',1938934109,2);
INSERT INTO events VALUES(6,2,3,'item_attributed',1769639051000000,'{"kind":"item_attributed","shelf_source":"shelf-1","shelf_epoch":"019b0000-0000-7000-8000-000000000001","shelf_seq":1,"candidates":[{"visit":"v1","sku":"632565000012","quantity":1,"probability":0.97},{"visit":null,"sku":null,"quantity":0,"probability":0.030000000000000027}]}',314047996,2);
INSERT INTO events VALUES(7,2,4,'cart_changed',1769639051000000,'{"kind":"cart_changed","visit":"v1","lines":[{"sku":"632565000012","name":"Product 632565000012","quantity":1,"unit_price_minor":199,"probability":0.97,"review":false}]}',69005054,2);
INSERT INTO events VALUES(8,3,2,'shelf_changed',1769639060000000,'{"kind":"shelf_changed","plates":[{"plate":"1/5/11","delta_g":-200.5,"sd_g":2.0,"start_us":1769639058000000,"end_us":1769639060000000}],"delta_g":-200.5,"sd_g":2.0,"start_us":1769639058000000,"end_us":1769639060000000}',415111691,2);
INSERT INTO events VALUES(9,2,5,'item_attributed',1769639061000000,'{"kind":"item_attributed","shelf_source":"shelf-1","shelf_epoch":"019b0000-0000-7000-8000-000000000001","shelf_seq":2,"candidates":[{"visit":"v1","sku":"632565000029","quantity":1,"probability":0.6},{"visit":null,"sku":null,"quantity":0,"probability":0.4}]}',106873028,2);
INSERT INTO events VALUES(10,2,6,'cart_changed',1769639061000000,'{"kind":"cart_changed","visit":"v1","lines":[{"sku":"632565000012","name":"Product 632565000012","quantity":1,"unit_price_minor":199,"probability":0.97,"review":false},{"sku":"632565000029","name":"Product 632565000029","quantity":1,"unit_price_minor":199,"probability":0.6,"review":true}]}',3507303303,2);
INSERT INTO events VALUES(11,2,7,'item_attributed',1769639062000000,'{"kind":"item_attributed","shelf_source":"shelf-1","shelf_epoch":"019b0000-0000-7000-8000-000000000001","shelf_seq":2,"candidates":[{"visit":"v2","sku":"632565000029","quantity":1,"probability":0.9},{"visit":null,"sku":null,"quantity":0,"probability":0.09999999999999998}]}',1374491674,2);
INSERT INTO events VALUES(12,2,8,'cart_changed',1769639062000000,'{"kind":"cart_changed","visit":"v1","lines":[{"sku":"632565000012","name":"Product 632565000012","quantity":1,"unit_price_minor":199,"probability":0.97,"review":false}]}',2408002634,2);
INSERT INTO events VALUES(13,2,9,'cart_changed',1769639062000000,'{"kind":"cart_changed","visit":"v2","lines":[{"sku":"632565000029","name":"Product 632565000029","quantity":1,"unit_price_minor":199,"probability":0.9,"review":false}]}',2330309154,2);
INSERT INTO events VALUES(14,3,3,'shelf_changed',1769639070000000,'{"kind":"shelf_changed","plates":[{"plate":"1/5/11","delta_g":200.25,"sd_g":2.0,"start_us":1769639068000000,"end_us":1769639070000000}],"delta_g":200.25,"sd_g":2.0,"start_us":1769639068000000,"end_us":1769639070000000}',1235393071,2);
INSERT INTO events VALUES(15,2,10,'item_attributed',1769639071000000,'{"kind":"item_attributed","shelf_source":"shelf-1","shelf_epoch":"019b0000-0000-7000-8000-000000000001","shelf_seq":3,"candidates":[{"visit":"v2","sku":"632565000029","quantity":1,"probability":0.95},{"visit":null,"sku":null,"quantity":0,"probability":0.050000000000000044}]}',2812672933,2);
INSERT INTO events VALUES(16,2,11,'cart_changed',1769639071000000,'{"kind":"cart_changed","visit":"v2","lines":[]}',2707618162,2);
INSERT INTO events VALUES(17,2,12,'visit_closed',1769639080000000,'{"kind":"visit_closed","visit":"v1","credential":null,"entered_us":1769639041000000,"left_us":1769639080000000,"currency":"USD","lines":[{"sku":"632565000012","name":"Product 632565000012","quantity":1,"unit_price_minor":199,"probability":0.97,"review":false}],"charge_minor":199,"in_review_minor":0}',1125314111,2);
INSERT INTO events VALUES(18,2,13,'visit_closed',1769639085000000,'{"kind":"visit_closed","visit":"v2","credential":null,"entered_us":1769639043000000,"left_us":1769639085000000,"currency":"USD","lines":[],"charge_minor":0,"in_review_minor":0}',3157926664,2);
INSERT INTO events VALUES(19,3,4,'device_fault',1769639086000000,'{"kind":"device_fault","device":"1/5/12","fault":"nan_weight","message":"plate 1/5/12 sends NaN: check its cable","cleared":false}',3139346335,2);
INSERT INTO events VALUES(20,2,14,'cart_changed',1769639100000000,'{"kind":"cart_changed","visit":"v7","lines":[{"sku":"a","name":"Product a","quantity":1,"unit_price_minor":199,"probability":1.5,"review":false}]}',1127159117,4);
INSERT INTO events VALUES(21,2,17,'visit_opened',1769639101000000,'{"kind":"visit_opened","visit":"v7","credential":null,"party":1}',1562509711,4);
CREATE TABLE credentials (
  ledger_seq INTEGER PRIMARY KEY REFERENCES events (ledger_seq),
  -- What a shopper entered with: a token, never a name.
  credential TEXT    NOT NULL
) STRICT;
INSERT INTO credentials VALUES(1,'cred-v1');
INSERT INTO credentials VALUES(2,'cred-v1');
INSERT INTO credentials VALUES(3,'cred-v2');
INSERT INTO credentials VALUES(4,'cred-v2');
INSERT INTO credentials VALUES(17,'cred-v1');
INSERT INTO credentials VALUES(18,'cred-v2');
INSERT INTO credentials VALUES(21,'cred-v7');
CREATE TABLE conflicts (
  ledger_seq INTEGER PRIMARY KEY REFERENCES events (ledger_seq),
  times      INTEGER NOT NULL CHECK (times >= 1),
  last_us    INTEGER NOT NULL,
  time_us    INTEGER NOT NULL,
  body       TEXT    NOT NULL CHECK (json_valid(body))
) STRICT;
INSERT INTO conflicts VALUES(2,1,3,1769639041000000,'{"kind":"visit_opened","visit":"v9","party":1}');
CREATE TABLE losses (
  numbering INTEGER NOT NULL REFERENCES numberings (numbering),
  from_seq  INTEGER NOT NULL CHECK (from_seq >= 1),
  to_seq    INTEGER NOT NULL CHECK (to_seq >= from_seq),
  noted_us  INTEGER NOT NULL,
  PRIMARY KEY (numbering, from_seq)
) STRICT, WITHOUT ROWID;
INSERT INTO losses VALUES(2,15,16,5);
CREATE TABLE former_ids (
  ledger_id TEXT    PRIMARY KEY CHECK (length(ledger_id) = 36),
  last_seq  INTEGER NOT NULL CHECK (last_seq >= 0),
  until_us  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
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
CREATE TABLE in_force (
  kind        TEXT    PRIMARY KEY,
  version     INTEGER NOT NULL CHECK (version >= 0),
  command_seq INTEGER NOT NULL REFERENCES commands (command_seq)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
WHEN NOT (NEW.body IS NULL AND NEW.ledger_seq = OLD.ledger_seq AND NEW.numbering = OLD.numbering
          AND NEW.source_seq = OLD.source_seq AND NEW.kind = OLD.kind AND NEW.time_us = OLD.time_us
          AND NEW.sum = OLD.sum AND NEW.received_us = OLD.received_us)
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE INDEX credentials_by_credential ON credentials (credential);
CREATE INDEX commands_of_kind ON commands (kind, accepted);
COMMIT;
