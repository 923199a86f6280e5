-- +goose Up

CREATE TABLE builds (
    id             INTEGER PRIMARY KEY AUTOINCREMENT, -- the number that people say: never used twice
    app            TEXT NOT NULL,
    project        BIGINT NOT NULL, -- GitLab's
    ref            TEXT NOT NULL,   -- a branch, or refs/tags/ and a tag
    push           TEXT,            -- app, ref and commit of an automatic build: there is one for each move to it; NULL: not by a push
    phase          BIGINT NOT NULL, -- 0 queued, 1 started, 2 made, 3 ended
    final          BIGINT NOT NULL,
    verdict        TEXT NOT NULL,   -- how it ended, if that counts for "broken" and "fixed"
    version        BIGINT NOT NULL,
    driven_version BIGINT NOT NULL,
    doc            TEXT NOT NULL,
    UNIQUE (push)
);
CREATE INDEX builds_app ON builds (app, id);
CREATE INDEX builds_verdict ON builds (app, ref, id) WHERE verdict <> '';
CREATE INDEX builds_push ON builds (app, ref, id) WHERE push IS NOT NULL;
CREATE INDEX builds_deployable ON builds (app, id) WHERE verdict = 'Succeeded';
CREATE INDEX builds_queue ON builds (phase, id) WHERE final = 0;
CREATE INDEX builds_open ON builds (id) WHERE final = 0;
CREATE INDEX builds_dirty ON builds (id) WHERE driven_version < version;

CREATE TABLE deployments (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    build          BIGINT NOT NULL,
    app            TEXT NOT NULL,
    final          BIGINT NOT NULL,
    version        BIGINT NOT NULL,
    driven_version BIGINT NOT NULL,
    doc            TEXT NOT NULL
);
CREATE INDEX deployments_build ON deployments (build, id);
CREATE INDEX deployments_app ON deployments (app, id);
CREATE INDEX deployments_open ON deployments (id) WHERE final = 0;
CREATE INDEX deployments_dirty ON deployments (id) WHERE driven_version < version;

CREATE TABLE build_settings (
    app  TEXT PRIMARY KEY,
    head TEXT NOT NULL, -- the commit that the branch was last seen at; '-': there is no such branch; '': not known
    doc  TEXT NOT NULL
);

-- How the branch of an app moved, as far as it is known: tells a push that is told late, or again, from a new one.
CREATE TABLE build_moves (
    id     INTEGER PRIMARY KEY,
    app    TEXT NOT NULL,
    ref    TEXT NOT NULL,
    before TEXT NOT NULL, -- '': there was no such branch
    after  TEXT NOT NULL, -- '': it was deleted
    UNIQUE (app, ref, before, after)
);
CREATE INDEX build_moves_after ON build_moves (app, ref, after);

ALTER TABLE actions ADD COLUMN build BIGINT NOT NULL DEFAULT 0; -- 0: not about a build
CREATE INDEX actions_build ON actions (build) WHERE build <> 0;

-- A thread is of a run or of a build; the other one is 0.
CREATE TABLE new_threads (
    id            INTEGER PRIMARY KEY,
    run           BIGINT NOT NULL,
    build         BIGINT NOT NULL DEFAULT 0,
    channel       TEXT NOT NULL,
    app           TEXT NOT NULL,
    version       BIGINT NOT NULL,
    shown_version BIGINT NOT NULL,
    shown_by      BIGINT NOT NULL,
    broken        TEXT NOT NULL DEFAULT '',
    broadcast     TEXT NOT NULL,
    created_at    BIGINT NOT NULL,
    UNIQUE (run, build, channel)
);
INSERT INTO new_threads (id, run, channel, app, version, shown_version, shown_by, broken, broadcast, created_at)
    SELECT id, run, channel, app, version, shown_version, shown_by, broken, broadcast, created_at FROM threads;
DROP TABLE threads;
ALTER TABLE new_threads RENAME TO threads;
CREATE INDEX threads_dirty ON threads (id) WHERE shown_version < version AND broken = '';
CREATE INDEX threads_channel ON threads (channel, id);
CREATE INDEX threads_app ON threads (app, id);
CREATE INDEX threads_build ON threads (build, channel) WHERE build <> 0;

-- +goose Down
SELECT 1;
