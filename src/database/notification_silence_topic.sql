-- A silence may be watched for each topic by itself; of one that is watched as a whole the topic is empty.
CREATE TABLE notification_silence_topic (
    alarm TEXT    NOT NULL,
    topic TEXT    NOT NULL,
    heard INTEGER NOT NULL,
    told  INTEGER NOT NULL,
    PRIMARY KEY (alarm, topic)
) STRICT, WITHOUT ROWID;
INSERT INTO notification_silence_topic SELECT alarm, '', heard, told FROM notification_silence;
DROP TABLE notification_silence;
ALTER TABLE notification_silence_topic RENAME TO notification_silence;
