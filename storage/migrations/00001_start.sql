-- +goose Up

-- Columns are what SQL asks for; doc holds the rest of a thing as JSON.
-- Times are milliseconds since 1970, 0 for never; booleans are 0 and 1.

CREATE TABLE projects (
    id         BIGINT PRIMARY KEY, -- GitLab's
    path       TEXT NOT NULL,
    doc        TEXT NOT NULL
);

CREATE TABLE apps (
    name       TEXT PRIMARY KEY,
    project    BIGINT NOT NULL DEFAULT 0, -- 0: none linked
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX apps_project ON apps (project);

CREATE TABLE subscriptions (
    id         INTEGER PRIMARY KEY,
    app        TEXT NOT NULL,
    channel    TEXT NOT NULL,
    broadcast  TEXT NOT NULL,
    floor      BIGINT NOT NULL,
    paused     TEXT NOT NULL DEFAULT '',
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (app, channel)
);
CREATE INDEX subscriptions_channel ON subscriptions (channel);

CREATE TABLE deliveries (
    id         INTEGER PRIMARY KEY,
    key        TEXT NOT NULL UNIQUE,
    kind       TEXT NOT NULL,
    body       BLOB NOT NULL,
    at         BIGINT NOT NULL,
    outcome    TEXT NOT NULL DEFAULT '',
    note       TEXT NOT NULL DEFAULT '',
    project    BIGINT NOT NULL DEFAULT 0,
    settled    BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX deliveries_outcome ON deliveries (outcome, id);
CREATE INDEX deliveries_at ON deliveries (at);

CREATE TABLE runs (
    id             INTEGER PRIMARY KEY,
    project        BIGINT NOT NULL,
    remote         BIGINT NOT NULL, -- GitLab's pipeline id
    ref            TEXT NOT NULL,
    kind           TEXT NOT NULL,   -- branch, tag, merge_request
    status         TEXT NOT NULL,
    final          BIGINT NOT NULL,
    child          BIGINT NOT NULL, -- 1: has no thread of its own and is not listed
    parent         BIGINT NOT NULL, -- GitLab's id of the parent pipeline of the same project
    verdict        TEXT NOT NULL,   -- the last end that counts: success, failed or ''
    observed_at    BIGINT NOT NULL,
    stale          BIGINT NOT NULL,
    version        BIGINT NOT NULL,
    driven_version BIGINT NOT NULL,
    doc            TEXT NOT NULL,
    UNIQUE (project, remote)
);
CREATE INDEX runs_listed ON runs (project, child, remote);
CREATE INDEX runs_ref ON runs (project, ref, child, remote);
CREATE INDEX runs_verdict ON runs (project, ref, kind, remote) WHERE verdict <> '';
CREATE INDEX runs_parent ON runs (project, parent, remote) WHERE parent <> 0;
CREATE INDEX runs_dirty ON runs (id) WHERE stale = 1 OR driven_version < version;
CREATE INDEX runs_quiet ON runs (observed_at) WHERE final = 0 AND status NOT IN ('manual', 'scheduled');

CREATE TABLE jobs (
    project BIGINT NOT NULL,
    id      BIGINT NOT NULL, -- GitLab's
    run     BIGINT NOT NULL,
    status  TEXT NOT NULL,
    doc     TEXT NOT NULL,
    PRIMARY KEY (project, id)
);
CREATE INDEX jobs_run ON jobs (run, id);

CREATE TABLE threads (
    id            INTEGER PRIMARY KEY,
    run           BIGINT NOT NULL,
    channel       TEXT NOT NULL,
    app           TEXT NOT NULL,
    version       BIGINT NOT NULL,
    shown_version BIGINT NOT NULL,
    shown_by      BIGINT NOT NULL,
    broken        TEXT NOT NULL DEFAULT '',
    broadcast     TEXT NOT NULL,
    created_at    BIGINT NOT NULL,
    UNIQUE (run, channel)
);
CREATE INDEX threads_dirty ON threads (id) WHERE shown_version < version AND broken = '';
CREATE INDEX threads_channel ON threads (channel, id);
CREATE INDEX threads_app ON threads (app, id);

CREATE TABLE slots (
    thread    BIGINT NOT NULL,
    key       TEXT NOT NULL,
    ts        TEXT NOT NULL,
    digest    TEXT NOT NULL,
    nonce     TEXT NOT NULL,
    nonce_at  BIGINT NOT NULL,
    broadcast BIGINT NOT NULL,
    PRIMARY KEY (thread, key)
);
CREATE INDEX slots_ts ON slots (ts) WHERE ts <> '';

CREATE TABLE actions (
    id          INTEGER PRIMARY KEY,
    kind        TEXT NOT NULL,
    app         TEXT NOT NULL,
    run         BIGINT NOT NULL,
    job         BIGINT NOT NULL,
    channel     TEXT NOT NULL,
    lock        TEXT NOT NULL,
    state       TEXT NOT NULL,
    late        BIGINT NOT NULL DEFAULT 0,
    answered    BIGINT NOT NULL DEFAULT 0,
    created_at  BIGINT NOT NULL,
    tried_at    BIGINT NOT NULL DEFAULT 0,
    finished_at BIGINT NOT NULL DEFAULT 0,
    doc         TEXT NOT NULL,              -- by, params, outcome
    reply_url   BLOB,                       -- sealed
    secret      BLOB                        -- sealed; wiped when the action has ended
);
CREATE UNIQUE INDEX actions_lock ON actions (lock) WHERE lock <> '' AND state <> 'failed';
CREATE INDEX actions_open ON actions (id) WHERE state = 'wanted' OR state = 'tried';
CREATE INDEX actions_answer ON actions (id) WHERE answered = 0 AND finished_at <> 0;
CREATE INDEX actions_app ON actions (app, id);
CREATE INDEX actions_run ON actions (run) WHERE run <> 0;

-- +goose Down
SELECT 1;
