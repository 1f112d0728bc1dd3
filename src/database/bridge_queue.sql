-- Messages that the bridge promised to publish and the broker has not acknowledged. They are sent in the
-- order of their numbers. `refused` says why the broker would not have one; it then stays until an operator decides.
CREATE TABLE bridge_queue (
    number INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    topic TEXT NOT NULL,
    message TEXT NOT NULL,
    refused TEXT
) STRICT;
