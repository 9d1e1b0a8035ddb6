"""The statements on the log's own tables, each under a name.

Several files read and write these tables, so a table's columns and the order of their values stand here and nowhere
else. A table that one file alone knows (answers, configurations, what is remembered) has its statements beside its
functions.
"""

# blocks. The columns in the order of `Block`.
_BLOCKS = "SELECT last_position, first_position, entry_count, committed_at_ms, checksum, body FROM blocks"

INSERT_BLOCK = (
    "INSERT INTO blocks (last_position, first_position, entry_count, committed_at_ms, checksum, body)"
    " VALUES (?, ?, ?, ?, ?, ?)"
)
BLOCKS_AFTER = f"{_BLOCKS} WHERE last_position > ? AND first_position <= ? ORDER BY last_position LIMIT ?"
BLOCKS_BEFORE = f"{_BLOCKS} WHERE last_position < ? ORDER BY last_position DESC LIMIT ?"
# No bound on `first_position`: for a position in a gap SQLite would search all later blocks for one that holds it.
BLOCK_OF = f"{_BLOCKS} WHERE last_position >= ? ORDER BY last_position LIMIT 1"
BLOCK_KEYS = (
    "SELECT last_position FROM blocks WHERE last_position > ? AND first_position <= ? ORDER BY last_position LIMIT ?"
)
OLDEST_BLOCKS = (
    "SELECT last_position, committed_at_ms FROM blocks WHERE last_position <= ? ORDER BY last_position LIMIT ? OFFSET ?"
)
DELETE_BLOCKS = "DELETE FROM blocks WHERE last_position <= ?"

# control_entries. The columns in the order of `control_row`.
_CONTROL = "SELECT position, stream, committed_at_ms, event_id, type, data, metadata, checksum FROM control_entries"

INSERT_CONTROL = (
    "INSERT INTO control_entries (position, stream, committed_at_ms, event_id, type, data, metadata, checksum)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
CONTROL_AFTER = f"{_CONTROL} WHERE position > ? AND position <= ? ORDER BY position LIMIT ?"
CONTROL_OF_STREAM = f"{_CONTROL} WHERE position > ? AND position <= ? AND stream = ? ORDER BY position LIMIT ?"
CONTROL_PLACES = (
    "SELECT stream, type, count(*), max(position) FROM"
    " (SELECT stream, type, position FROM control_entries ORDER BY position DESC LIMIT ?) GROUP BY stream, type"
)
OLDEST_CONTROL = (
    "SELECT position, committed_at_ms FROM control_entries WHERE position <= ? ORDER BY position LIMIT ? OFFSET ?"
)
DELETE_CONTROL = "DELETE FROM control_entries WHERE position <= ?"

# Retention may have taken the newest entry; its number stays used.
NEWEST_POSITION = (
    "SELECT max((SELECT ifnull(max(last_position), 0) FROM blocks),"
    " (SELECT ifnull(max(position), 0) FROM control_entries),"
    " ifnull((SELECT last_position FROM runs ORDER BY number DESC LIMIT 1), 0))"
)

# quarantine
IS_QUARANTINED = "SELECT 1 FROM quarantine WHERE position = ?"
QUARANTINED_POSITIONS = "SELECT position FROM quarantine WHERE position > ? AND position <= ?"
COUNT_QUARANTINED = "SELECT count(*) FROM quarantine"
QUARANTINED = (
    "SELECT position, stream, event_id, type, data, metadata, source_key, reason, quarantined_at_ms"
    " FROM quarantine ORDER BY position"
)
INSERT_QUARANTINED = (
    "INSERT INTO quarantine (position, stream, event_id, type, data, metadata, source_key, reason, quarantined_at_ms)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)

# streams
STREAMS = "SELECT number, name, parked_reason FROM streams ORDER BY number"
INSERT_STREAM = "INSERT INTO streams (number, name) VALUES (?, ?)"
PARK_STREAM = "UPDATE streams SET parked_reason = ?, parked_at_ms = ? WHERE number = ?"

# cursors
CURSORS = "SELECT checksum, body FROM cursors"
WRITE_CURSORS = "REPLACE INTO cursors (id, checksum, body) VALUES (1, ?, ?)"

# runs. Number 0 is the row of the older runs together.
ANY_RUN = "SELECT 1 FROM runs LIMIT 1"
NEWEST_RUNS = "SELECT number, run, last_position FROM runs ORDER BY number DESC LIMIT ?"
BEGIN_RUN = "INSERT INTO runs (run, started_at_ms, last_position) VALUES (?, ?, ?)"
ADVANCE_RUN = "UPDATE runs SET last_position = ? WHERE run = ?"
END_LAST_RUN = "UPDATE runs SET last_position = ? WHERE number > 0 AND number = (SELECT max(number) FROM runs)"
FORGET_LAST_RUN_IF_EMPTY = (
    "DELETE FROM runs WHERE number > 0 AND number = (SELECT max(number) FROM runs) AND last_position <="
    " ifnull((SELECT last_position FROM runs ORDER BY number DESC LIMIT 1 OFFSET 1), 0)"
)
# The first value is how many runs are kept, the second how many rows go at one start; so for the next one.
JOIN_OLDER_RUNS = (
    "REPLACE INTO runs (number, run, started_at_ms, last_position)"
    " SELECT 0, zeroblob(16), 0, last_position FROM runs WHERE number > 0 AND number <="
    " (SELECT min(max(number) - ?, (SELECT min(number) FROM runs WHERE number > 0) + ? - 1) FROM runs)"
    " ORDER BY number DESC LIMIT 1"
)
FORGET_OLDER_RUNS = (
    "DELETE FROM runs WHERE number > 0 AND number <="
    " (SELECT min(max(number) - ?, (SELECT min(number) FROM runs WHERE number > 0) + ? - 1) FROM runs)"
)
