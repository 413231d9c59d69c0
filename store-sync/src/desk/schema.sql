-- What the console itself keeps: accounts, sessions, the audit log, answers that can still be undone, contested lines.
-- Beside the ledger, not in it: the ledger is what happened in the store, this is who may see and change what.

CREATE TABLE IF NOT EXISTS accounts (
  name        TEXT    PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 64),
  role        TEXT    NOT NULL CHECK (role IN ('shopper', 'staff', 'manager', 'ops', 'auditor')),
  -- argon2id; a shopper's phone has no password, only its session.
  salt        BLOB,
  hash        BLOB,
  -- The password is one-time: nothing else is allowed before it is changed.
  must_change INTEGER NOT NULL CHECK (must_change IN (0, 1)),
  -- What a shopper enters with.
  credential  TEXT    UNIQUE CHECK (length(credential) BETWEEN 1 AND 64),
  created_us  INTEGER NOT NULL,
  disabled    INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1))
) STRICT, WITHOUT ROWID;

-- Who an account is at the chain's provider. Such an account has no password here.
CREATE TABLE IF NOT EXISTS outside_accounts (
  issuer  TEXT NOT NULL,
  -- The provider's own name for somebody; it never changes, whatever else about them does.
  subject TEXT NOT NULL,
  account TEXT NOT NULL UNIQUE REFERENCES accounts (name) ON DELETE CASCADE,
  PRIMARY KEY (issuer, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS sessions (
  -- SHA-256 of the token: whoever reads this file cannot use it to sign in.
  token_hash BLOB    PRIMARY KEY,
  account    TEXT    NOT NULL REFERENCES accounts (name) ON DELETE CASCADE,
  csrf       TEXT    NOT NULL,
  until_us   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Every action on money or personal data. Append-only by trigger; each row's sum covers the row before it.
CREATE TABLE IF NOT EXISTS audit (
  n       INTEGER PRIMARY KEY,
  at_us   INTEGER NOT NULL,
  who     TEXT    NOT NULL,
  role    TEXT    NOT NULL,
  action  TEXT    NOT NULL,
  subject TEXT    NOT NULL,
  detail  TEXT    NOT NULL,
  done    INTEGER NOT NULL CHECK (done IN (0, 1)),
  sum     BLOB    NOT NULL
) STRICT;
CREATE TRIGGER IF NOT EXISTS audit_is_never_changed BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER IF NOT EXISTS audit_is_never_deleted BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

-- Answers to reviews that can still be undone; they are written to the ledger when they are due.
CREATE TABLE IF NOT EXISTS held_answers (
  visit    TEXT    NOT NULL,
  sku      TEXT    NOT NULL,
  quantity INTEGER NOT NULL CHECK (quantity >= 0),
  who      TEXT    NOT NULL,
  due_us   INTEGER NOT NULL,
  PRIMARY KEY (visit, sku)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS contests (
  contest    TEXT    PRIMARY KEY,
  visit      TEXT    NOT NULL,
  sku        TEXT    NOT NULL,
  words      TEXT    NOT NULL CHECK (length(words) <= 1000),
  opened_us  INTEGER NOT NULL,
  state      TEXT    NOT NULL CHECK (state IN ('open', 'refunded', 'refused')),
  settled_us INTEGER,
  answer     TEXT    CHECK (length(answer) <= 1000)
) STRICT, WITHOUT ROWID;
-- One open contest a line.
CREATE UNIQUE INDEX IF NOT EXISTS contests_open ON contests (visit, sku) WHERE state = 'open';

-- Entry codes that were used and could still be shown again.
CREATE TABLE IF NOT EXISTS entries (
  nonce   TEXT    PRIMARY KEY,
  until_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS secrets (
  name  TEXT PRIMARY KEY,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Numbers that were settled once and stay: from when on the store is paid.
CREATE TABLE IF NOT EXISTS kept (
  name   TEXT    PRIMARY KEY,
  number INTEGER NOT NULL
) STRICT;
