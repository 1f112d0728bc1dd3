-- What went wrong. source: an IMSI, or the address of a device that is no SIM (is_sim = 0). time in milliseconds.
CREATE TABLE log_entry (
  id INTEGER PRIMARY KEY,
  time INTEGER NOT NULL,
  source TEXT NOT NULL,
  is_sim INTEGER NOT NULL,
  level TEXT NOT NULL,
  body TEXT NOT NULL
);
CREATE INDEX log_entry_source ON log_entry (is_sim, source, time, id);
CREATE INDEX log_entry_time ON log_entry (time, id);
