-- What an operator looks at is counted without reading all messages.
CREATE INDEX bridge_queue_parked ON bridge_queue (number) WHERE refused IS NOT NULL;
