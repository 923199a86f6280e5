-- +goose Up

-- Columns are what SQL asks for; doc holds the rest of a log as JSON.
-- Times are milliseconds since 1970, 0 for never; booleans are 0 and 1.

-- An id is never given twice: who reads a log that was thrown away must not see another.
CREATE TABLE logs (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    kind       TEXT NOT NULL,
    project    BIGINT NOT NULL, -- GitLab's
    remote     BIGINT NOT NULL, -- GitLab's id of what it is the log of
    lines      BIGINT NOT NULL DEFAULT 0,
    bytes      BIGINT NOT NULL DEFAULT 0, -- of text, line feeds included
    size       BIGINT NOT NULL DEFAULT 0, -- on disk
    done       BIGINT NOT NULL DEFAULT 0,
    kept       BIGINT NOT NULL DEFAULT 0,
    read_at    BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    next_at    BIGINT NOT NULL DEFAULT 0,
    version    BIGINT NOT NULL DEFAULT 1,
    doc        TEXT NOT NULL,
    UNIQUE (kind, project, remote)
);
CREATE INDEX logs_age ON logs (created_at);
CREATE INDEX logs_read ON logs (read_at) WHERE done = 0;
CREATE INDEX logs_kept ON logs (next_at) WHERE done = 0 AND kept = 1;

-- Lines, some hundred kilobytes of them together. text and marks are compressed apart, so that a search
-- reads text alone; text comes first, since SQLite reads a row from its start.
CREATE TABLE chunks (
    log        BIGINT NOT NULL,
    first      BIGINT NOT NULL, -- number of its first line
    lines      BIGINT NOT NULL,
    bytes      BIGINT NOT NULL, -- of text, not compressed
    size       BIGINT NOT NULL, -- on disk
    text       BLOB NOT NULL,   -- each line ended by a line feed
    marks      BLOB NOT NULL,   -- all else that is known of the lines
    PRIMARY KEY (log, first)
);

CREATE TABLE sections (
    log        BIGINT NOT NULL,
    first      BIGINT NOT NULL,
    last       BIGINT NOT NULL, -- 0: not ended
    depth      BIGINT NOT NULL,
    collapsed  BIGINT NOT NULL,
    PRIMARY KEY (log, first)
) WITHOUT ROWID;
CREATE INDEX sections_open ON sections (log, first) WHERE last = 0;

-- Logs that were thrown away, whose lines are yet to go, a few at a time.
CREATE TABLE gone (
    log        BIGINT PRIMARY KEY
);

-- One row: the size of all logs.
CREATE TABLE total (
    size       BIGINT NOT NULL
);
INSERT INTO total (size) VALUES (0);

-- +goose StatementBegin
CREATE TRIGGER logs_grow AFTER UPDATE OF size ON logs WHEN new.size <> old.size BEGIN
    UPDATE total SET size = size + new.size - old.size;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER logs_go AFTER DELETE ON logs WHEN old.size <> 0 BEGIN
    UPDATE total SET size = size - old.size;
END;
-- +goose StatementEnd
