-- +goose Up

-- What this file is: when it was copied, if it is a backup that nobody started from yet; and what it was restored from.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY, -- copied_at, restored_since, restored_at
    value BIGINT NOT NULL
);

-- Messages in Slack name runs, and locks are made of their numbers: none is used twice, also not after a restore, which
-- skips those that may have been given meanwhile.
CREATE TABLE new_runs (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
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
INSERT INTO new_runs (id, project, remote, ref, kind, status, final, child, parent, verdict, observed_at, stale, version, driven_version, doc)
    SELECT id, project, remote, ref, kind, status, final, child, parent, verdict, observed_at, stale, version, driven_version, doc FROM runs;
DROP TABLE runs;
ALTER TABLE new_runs RENAME TO runs;
CREATE INDEX runs_listed ON runs (project, child, remote);
CREATE INDEX runs_ref ON runs (project, ref, child, remote);
CREATE INDEX runs_verdict ON runs (project, ref, kind, remote) WHERE verdict <> '';
CREATE INDEX runs_parent ON runs (project, parent, remote) WHERE parent <> 0;
CREATE INDEX runs_dirty ON runs (id) WHERE stale = 1 OR driven_version < version;
CREATE INDEX runs_quiet ON runs (observed_at) WHERE final = 0 AND status NOT IN ('manual', 'scheduled');

-- Replies in Slack are named after actions: the same.
CREATE TABLE new_actions (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    kind        TEXT NOT NULL,
    app         TEXT NOT NULL,
    run         BIGINT NOT NULL,
    build       BIGINT NOT NULL DEFAULT 0, -- 0: not about a build
    job         BIGINT NOT NULL,
    channel     TEXT NOT NULL,
    person      TEXT NOT NULL DEFAULT '',   -- Slack's id of who asked
    lock        TEXT NOT NULL,
    state       TEXT NOT NULL,
    late        BIGINT NOT NULL DEFAULT 0,
    answered    BIGINT NOT NULL DEFAULT 0,
    prompted    BIGINT NOT NULL DEFAULT 0,
    created_at  BIGINT NOT NULL,
    tried_at    BIGINT NOT NULL DEFAULT 0,
    finished_at BIGINT NOT NULL DEFAULT 0,
    doc         TEXT NOT NULL,              -- by, params, outcome
    reply_url   BLOB,                       -- sealed
    secret      BLOB                        -- sealed; wiped when the action has ended
);
INSERT INTO new_actions (id, kind, app, run, build, job, channel, person, lock, state, late, answered, prompted, created_at, tried_at, finished_at, doc, reply_url, secret)
    SELECT id, kind, app, run, build, job, channel, person, lock, state, late, answered, prompted, created_at, tried_at, finished_at, doc, reply_url, secret FROM actions;
DROP TABLE actions;
ALTER TABLE new_actions RENAME TO actions;
CREATE UNIQUE INDEX actions_lock ON actions (lock) WHERE lock <> '' AND state <> 'failed' AND state <> 'waits';
CREATE INDEX actions_open ON actions (id) WHERE state = 'wanted' OR state = 'tried' OR state = 'waits';
CREATE INDEX actions_answer ON actions (id) WHERE answered = 0 AND finished_at <> 0;
CREATE INDEX actions_app ON actions (app, id);
CREATE INDEX actions_run ON actions (run) WHERE run <> 0;
CREATE INDEX actions_build ON actions (build) WHERE build <> 0;
CREATE INDEX actions_asked ON actions (lock) WHERE lock <> '';
CREATE INDEX actions_waits ON actions (person) WHERE state = 'waits';

-- What administrators are told.
CREATE TABLE notices (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    kind      TEXT NOT NULL,
    key       TEXT NOT NULL,
    told      BIGINT NOT NULL DEFAULT 0, -- each administrator has a thread
    opened_at BIGINT NOT NULL,
    closed_at BIGINT NOT NULL DEFAULT 0, -- 0: not over
    doc       TEXT NOT NULL,
    UNIQUE (kind, key)
);
CREATE INDEX notices_untold ON notices (id) WHERE told = 0;

-- Tokens of ours, as their peers see them.
CREATE TABLE token_sights (
    name TEXT PRIMARY KEY,
    doc  TEXT NOT NULL
);

-- A thread is of a run, a build, a subject or a notice; the others are 0.
CREATE TABLE new_threads (
    id            INTEGER PRIMARY KEY,
    run           BIGINT NOT NULL DEFAULT 0,
    build         BIGINT NOT NULL DEFAULT 0,
    subject       BIGINT NOT NULL DEFAULT 0,
    notice        BIGINT NOT NULL DEFAULT 0,
    channel       TEXT NOT NULL, -- or @ and a person
    app           TEXT NOT NULL,
    version       BIGINT NOT NULL,
    shown_version BIGINT NOT NULL,
    shown_by      BIGINT NOT NULL,
    broken        TEXT NOT NULL DEFAULT '',
    broadcast     TEXT NOT NULL,
    quiet         BIGINT NOT NULL DEFAULT 0,
    created_at    BIGINT NOT NULL,
    UNIQUE (run, build, subject, notice, channel)
);
INSERT INTO new_threads (id, run, build, subject, channel, app, version, shown_version, shown_by, broken, broadcast, quiet, created_at)
    SELECT id, run, build, subject, channel, app, version, shown_version, shown_by, broken, broadcast, quiet, created_at FROM threads;
DROP TABLE threads;
ALTER TABLE new_threads RENAME TO threads;
CREATE INDEX threads_dirty ON threads (id) WHERE shown_version < version AND broken = '';
CREATE INDEX threads_channel ON threads (channel, id);
CREATE INDEX threads_app ON threads (app, id);
CREATE INDEX threads_build ON threads (build, channel) WHERE build <> 0;
CREATE INDEX threads_subject ON threads (subject, channel) WHERE subject <> 0;
CREATE INDEX threads_notice ON threads (notice, channel) WHERE notice <> 0;

-- What is old is found by its time, to be forgotten.
CREATE INDEX runs_old ON runs (observed_at) WHERE final = 1;
CREATE INDEX actions_old ON actions (finished_at) WHERE finished_at <> 0 AND answered <> 0;

-- +goose Down
SELECT 1;
