-- What an operator wants to be sent again, until the bridge takes it back among those that wait.
ALTER TABLE bridge_queue ADD COLUMN again INTEGER NOT NULL DEFAULT 0;
CREATE INDEX bridge_queue_again ON bridge_queue (number) WHERE again = 1;
