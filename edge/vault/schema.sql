-- The catalog: an index over store/clips, never the truth. Deletion does not need it; when it is lost or damaged it is
-- made again from the folders. It saves a start the checking of each signature and the measuring of each segment.
CREATE TABLE IF NOT EXISTS clip (
    id       TEXT PRIMARY KEY,  -- the clip's number
    proof    BLOB NOT NULL,     -- the device's mark (HMAC-SHA256) over the birth.json whose signature was checked; 32 bytes, empty: none
    state    TEXT NOT NULL,     -- open | complete | interrupted
    safe_ms  INTEGER,           -- the stored picture reaches to here, ms from its first frame; NULL: unknown
    bytes    INTEGER NOT NULL,  -- of all segments, sealed
    segments INTEGER NOT NULL,  -- how many
    acts     INTEGER NOT NULL   -- holds, releases and outcomes that were there: one that is removed shows
) STRICT, WITHOUT ROWID;
