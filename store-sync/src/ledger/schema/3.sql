-- Commands of one kind, newest first: which price rules a visit began under is looked up at every receipt, however many
-- catalogues and orders came since. The row's own number, command_seq, ends every key.
CREATE INDEX commands_of_kind ON commands (kind, accepted);
