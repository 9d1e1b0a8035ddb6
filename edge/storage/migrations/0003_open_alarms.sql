-- What stands until an event ends it: alarms of all kinds, and lost devices. The key is exactly an alarm's identity; what
-- an identity does not carry is ''.
ALTER TABLE open_alarms RENAME TO configuration_alarms;

CREATE TABLE open_alarms (
    alarm         TEXT NOT NULL,
    device_id     TEXT NOT NULL,
    connection_id TEXT NOT NULL,
    point_id      TEXT NOT NULL,
    stream        TEXT NOT NULL,
    -- One sentence for a person.
    message       TEXT NOT NULL,
    -- What the room that raised it wants to know again.
    body          TEXT NOT NULL,
    raised_at_ms  INTEGER NOT NULL,
    PRIMARY KEY (alarm, device_id, connection_id, point_id, stream)
) STRICT, WITHOUT ROWID;

-- Until now only configuration_not_usable was remembered, and a stream that is parked has had its alarm.
INSERT INTO open_alarms (alarm, device_id, connection_id, point_id, stream, message, body, raised_at_ms)
SELECT alarm, device_id, '', '', '', 'the site file no longer allows what is configured', body, raised_at_ms
FROM configuration_alarms;

INSERT INTO open_alarms (alarm, device_id, connection_id, point_id, stream, message, body, raised_at_ms)
SELECT 'stream_parked', '', '', '', name, parked_reason, '', ifnull(parked_at_ms, 0)
FROM streams WHERE parked_reason IS NOT NULL;

DROP TABLE configuration_alarms;
