-- Where the answered update stands on the configuration stream. Answers are forgotten by it, never by the clock.
-- 0: not known, answered by an earlier release.
ALTER TABLE answers ADD COLUMN update_revision INTEGER NOT NULL DEFAULT 0;
CREATE INDEX answers_by_revision ON answers (update_revision);

-- A lost database reads every update again: each is looked for in the history.
CREATE INDEX configuration_history_by_update ON configuration_history (update_event_id);

UPDATE answers SET update_revision = coalesce((
    SELECT max(update_revision) FROM configuration_history
    WHERE configuration_history.update_event_id = answers.update_event_id
), 0);

-- What was applied last to a device, as the status stream tells, where this file does not hold it: the file is a new one,
-- or an older copy. The update is looked for on the configuration stream.
CREATE TABLE missing_configurations (
    device_id       TEXT PRIMARY KEY,
    version         INTEGER NOT NULL,
    update_event_id BLOB NOT NULL
) STRICT, WITHOUT ROWID;
