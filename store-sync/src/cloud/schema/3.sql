-- What a visit's receipt is made of, found by the visit.
CREATE INDEX events_of_receipts ON events (store, event ->> '$.data.visit', position)
  WHERE type IN ('org.linefree.visit.closed.v1', 'org.linefree.receipt.priced.v1',
                 'org.linefree.review.answered.v1', 'org.linefree.refund.issued.v1');
