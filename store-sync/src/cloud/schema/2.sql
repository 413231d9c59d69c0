-- Commands to stores, and what each store has decided about them.
CREATE TABLE commands (
  store       TEXT    NOT NULL CHECK (length(store) BETWEEN 1 AND 64),
  -- 1, 2, 3 ... without gaps for each store.
  seq         INTEGER NOT NULL CHECK (seq >= 1),
  command     TEXT    NOT NULL CHECK (length(command) BETWEEN 1 AND 64),
  version     INTEGER NOT NULL CHECK (version >= 0),
  issued_us   INTEGER NOT NULL,
  body        TEXT    NOT NULL CHECK (json_valid(body)),
  -- The store's answer; NULL until it has come.
  accepted    INTEGER          CHECK (accepted IN (0, 1)),
  reason      TEXT,
  answered_us INTEGER,
  PRIMARY KEY (store, seq),
  UNIQUE (store, command)
) STRICT, WITHOUT ROWID;
