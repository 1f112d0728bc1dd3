-- What a counter belongs to. Rows stay as long as anything is counted for them.
CREATE TABLE usage_key (
  id INTEGER PRIMARY KEY,
  imsi TEXT NOT NULL,
  group_id TEXT NOT NULL,
  entry_point TEXT NOT NULL,
  scheme TEXT NOT NULL,
  UNIQUE (imsi, group_id, entry_point, scheme)
);
-- Requests by leg and direction. period: 0 five minutes, 1 day, 2 month; bucket: its first second, UTC.
-- Ordered by time, so that a flush touches neighbouring pages and pruning cuts off one end.
CREATE TABLE usage (
  period INTEGER NOT NULL,
  bucket INTEGER NOT NULL,
  key_id INTEGER NOT NULL, -- of usage_key; a constraint would scan this table for each key that goes
  device_up INTEGER NOT NULL,
  broker_up INTEGER NOT NULL,
  broker_down INTEGER NOT NULL,
  device_down INTEGER NOT NULL,
  PRIMARY KEY (period, bucket, key_id)
) WITHOUT ROWID;
