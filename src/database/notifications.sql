-- What waits for a destination, and what a destination will not take. Ids are never used again: a destination
-- may know them.
CREATE TABLE notification (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    destination TEXT    NOT NULL,
    route       TEXT    NOT NULL, -- the route, or the alarm, that it came by
    topic       TEXT    NOT NULL,
    payload     BLOB,             -- as it was published; NULL for what no message caused
    text        TEXT,             -- as it is to be sent; NULL if the template could not make it
    urgent      INTEGER NOT NULL,
    retry_key   TEXT    NOT NULL, -- the same for every attempt, so that the service recognises a second one
    created     INTEGER NOT NULL, -- milliseconds since 1970, like all times here
    expires     INTEGER NOT NULL,
    due         INTEGER NOT NULL, -- not to be tried before
    attempts    INTEGER NOT NULL,
    reason      TEXT,             -- why the last attempt failed
    died        INTEGER           -- since when it is a dead letter
) STRICT;
CREATE INDEX notification_next ON notification (destination, died, urgent DESC, id);
CREATE INDEX notification_expires ON notification (died, expires);

-- Messages whose acknowledgement the broker may not have seen, by packet id.
CREATE TABLE notification_seen (
    packet_id INTEGER PRIMARY KEY,
    content   INTEGER NOT NULL, -- a hash of topic and payload
    time      INTEGER NOT NULL
) STRICT;

-- Repeats that a route collapses.
CREATE TABLE notification_repeat (
    route   TEXT    NOT NULL,
    content INTEGER NOT NULL, -- a hash of what makes messages the same
    until   INTEGER NOT NULL, -- the end of the window
    count   INTEGER NOT NULL, -- how many were left out
    PRIMARY KEY (route, content)
) STRICT, WITHOUT ROWID;

-- Topics whose silence is an alarm.
CREATE TABLE notification_silence (
    alarm TEXT    NOT NULL PRIMARY KEY,
    heard INTEGER NOT NULL,
    told  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What the broker's session of the notifier is subscribed to.
CREATE TABLE notification_subscription (
    filter TEXT NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- The rows of destinations of the type "database".
CREATE TABLE notification_record (
    id          INTEGER PRIMARY KEY,
    destination TEXT    NOT NULL,
    route       TEXT    NOT NULL,
    topic       TEXT    NOT NULL,
    payload     TEXT,
    text        TEXT    NOT NULL,
    time        INTEGER NOT NULL
) STRICT;
CREATE INDEX notification_record_time ON notification_record (time);
