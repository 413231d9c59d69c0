-- What shoppers show at their phones: codes of coupons and points to be redeemed, for their next receipt. As personal as
-- the credential, and deleted with it. What a receipt was priced by stands in its event; this is only until then.
CREATE TABLE shown (
  credential TEXT    NOT NULL CHECK (length(credential) BETWEEN 1 AND 256),
  -- The visit whose receipt was priced by it; NULL for the next one's.
  visit      TEXT             CHECK (length(visit) BETWEEN 1 AND 64),
  codes      TEXT    NOT NULL CHECK (json_type(codes) = 'array'),
  points     INTEGER NOT NULL CHECK (points >= 0),
  shown_us   INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX shown_next ON shown (credential) WHERE visit IS NULL;
CREATE UNIQUE INDEX shown_by_visit ON shown (visit) WHERE visit IS NOT NULL;
