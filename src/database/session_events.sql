-- When SIMs came online and went: one row an event, found by subscriber, newest first.
CREATE TABLE session_events (
    imsi         TEXT    NOT NULL,
    time         INTEGER NOT NULL, -- milliseconds since 1970, never twice for one subscriber
    event        TEXT    NOT NULL, -- Created, Modified, Deleted
    sim_id       TEXT    NOT NULL,
    session_id   TEXT    NOT NULL,
    created_time INTEGER NOT NULL, -- of the session
    imei         TEXT,
    address      TEXT    NOT NULL,
    client_id    TEXT    NOT NULL,
    PRIMARY KEY (imsi, time)
) STRICT, WITHOUT ROWID;
