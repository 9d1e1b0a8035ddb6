-- The whole layout, places for later features included: it cannot be changed cheaply on a box in the field.
-- Times are milliseconds since 1970 as the box's clock had them; order is the position's business, never theirs.

-- Telemetry: one group commit is one row, its entries compressed together. The key is the position of its last entry.
-- `body` comes last: SQLite then reads the other columns without following its overflow pages.
CREATE TABLE blocks (
    last_position   INTEGER PRIMARY KEY,
    first_position  INTEGER NOT NULL,
    entry_count     INTEGER NOT NULL,
    committed_at_ms INTEGER NOT NULL,
    checksum        BLOB NOT NULL,
    body            BLOB NOT NULL
) STRICT;

-- Everything that is not telemetry. Positions come from the same counter as those in blocks.
CREATE TABLE control_entries (
    position        INTEGER PRIMARY KEY,
    stream          INTEGER NOT NULL,
    committed_at_ms INTEGER NOT NULL,
    event_id        BLOB NOT NULL,
    type            TEXT NOT NULL,
    data            BLOB NOT NULL,
    metadata        BLOB NOT NULL,
    checksum        BLOB NOT NULL
) STRICT;

-- One packed row: what was forwarded of each stream, the last sequence of each device, and up to where that is current.
CREATE TABLE cursors (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    checksum BLOB NOT NULL,
    body     BLOB NOT NULL
) STRICT;

CREATE TABLE streams (
    number        INTEGER PRIMARY KEY,
    name          TEXT NOT NULL UNIQUE,
    -- Set while a person must decide before anything is appended to the stream again.
    parked_reason TEXT,
    parked_at_ms  INTEGER
) STRICT;

-- Each start of the daemon that used this file, and the last position it gave.
CREATE TABLE runs (
    number        INTEGER PRIMARY KEY,
    run           BLOB NOT NULL UNIQUE,
    started_at_ms INTEGER NOT NULL,
    last_position INTEGER NOT NULL
) STRICT;

-- What was dropped and not yet declared by a ReadingsDropped event.
CREATE TABLE drop_tally (
    device_id            TEXT NOT NULL,
    reason               TEXT NOT NULL,
    run                  BLOB NOT NULL,
    dropped_count        INTEGER NOT NULL,
    first_sequence       INTEGER,
    last_sequence        INTEGER,
    first_measured_at_ms INTEGER,
    last_measured_at_ms  INTEGER,
    PRIMARY KEY (device_id, reason, run)
) STRICT, WITHOUT ROWID;

-- Entries dropped while it was unknown whether they had landed: their ids still count as ours when reconciling.
CREATE TABLE dropped_in_flight (
    position  INTEGER PRIMARY KEY,
    stream    INTEGER NOT NULL,
    event_id  BLOB NOT NULL,
    device_id TEXT NOT NULL,
    run       BLOB NOT NULL,
    sequence  INTEGER NOT NULL
) STRICT;

-- Copies of entries that the event store does not take. `retry_position` is the new entry made of one by `retry`.
CREATE TABLE quarantine (
    position          INTEGER PRIMARY KEY,
    stream            INTEGER NOT NULL,
    event_id          BLOB NOT NULL,
    type              TEXT NOT NULL,
    data              BLOB NOT NULL,
    metadata          BLOB NOT NULL,
    source_key        BLOB NOT NULL,
    reason            TEXT NOT NULL,
    quarantined_at_ms INTEGER NOT NULL,
    retry_position    INTEGER
) STRICT;

-- Updates that were read from the configuration stream and wait for their answer.
CREATE TABLE pending_updates (
    event_id   BLOB PRIMARY KEY,
    revision   INTEGER NOT NULL,
    type       TEXT NOT NULL,
    data       BLOB NOT NULL,
    metadata   BLOB NOT NULL,
    read_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What is in force for each device, where it is more than the site file.
CREATE TABLE configurations (
    device_id       TEXT PRIMARY KEY,
    version         INTEGER NOT NULL,
    update_event_id BLOB,
    update_revision INTEGER,
    correlation_id  TEXT,
    document        TEXT NOT NULL,
    applied_at_ms   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The versions that the next update of a device is compared with.
CREATE TABLE device_versions (
    device_id     TEXT PRIMARY KEY,
    -- An update must be above this one (`stale_version`).
    stale_version INTEGER NOT NULL,
    -- An update's `basedOn`, where it has one, must be this one (`conflict`).
    base_version  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What became of each update, for `configuration history` and for the chart's marks.
CREATE TABLE configuration_history (
    number          INTEGER PRIMARY KEY,
    device_id       TEXT,
    version         INTEGER,
    outcome         TEXT NOT NULL,
    update_event_id BLOB,
    update_revision INTEGER,
    happened_at_ms  INTEGER NOT NULL,
    -- JSON: the document, who and why, changes or errors.
    body            TEXT NOT NULL
) STRICT;

-- Updates that have been answered; an update in here is never answered again.
CREATE TABLE answers (
    update_event_id BLOB PRIMARY KEY,
    answer_event_id BLOB NOT NULL,
    outcome         TEXT NOT NULL,
    answered_at_ms  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How far a subscription has come: the newest pairs, to find out whether the stream is still the one we knew.
CREATE TABLE checkpoints (
    stream   TEXT NOT NULL,
    revision INTEGER NOT NULL,
    event_id BLOB NOT NULL,
    PRIMARY KEY (stream, revision)
) STRICT, WITHOUT ROWID;

CREATE TABLE recipes (
    recipe_id     TEXT NOT NULL,
    version       INTEGER NOT NULL,
    event_id      BLOB NOT NULL,
    revision      INTEGER NOT NULL,
    document      TEXT NOT NULL,
    PRIMARY KEY (recipe_id, version)
) STRICT, WITHOUT ROWID;

-- The last DeviceDescribed of each device: another is written only when the content differs.
CREATE TABLE descriptions (
    device_id       TEXT PRIMARY KEY,
    digest          TEXT NOT NULL,
    body            TEXT NOT NULL,
    described_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Alarms raised and not cleared (a lost device among them): a restart must not raise them again.
CREATE TABLE open_alarms (
    device_id    TEXT NOT NULL,
    alarm        TEXT NOT NULL,
    body         TEXT NOT NULL,
    raised_at_ms INTEGER NOT NULL,
    PRIMARY KEY (device_id, alarm)
) STRICT, WITHOUT ROWID;

CREATE TABLE fail_safe_states (
    device_id     TEXT NOT NULL,
    point_id      TEXT NOT NULL,
    body          TEXT NOT NULL,
    entered_at_ms INTEGER NOT NULL,
    PRIMARY KEY (device_id, point_id)
) STRICT, WITHOUT ROWID;

-- Charts: minimum, mean and maximum of every point in one minute, packed.
CREATE TABLE rollups (
    minute   INTEGER PRIMARY KEY,
    checksum BLOB NOT NULL,
    body     BLOB NOT NULL
) STRICT;
