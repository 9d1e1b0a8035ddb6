-- Names that device groups took on when they were seen: from then on they are devices, also after a restart.
CREATE TABLE adopted_devices (
    connection_id TEXT NOT NULL,
    -- The group's id template.
    group_id      TEXT NOT NULL,
    name          TEXT NOT NULL,
    adopted_at_ms INTEGER NOT NULL,
    PRIMARY KEY (connection_id, group_id, name)
) STRICT, WITHOUT ROWID;
