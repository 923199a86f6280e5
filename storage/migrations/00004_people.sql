-- +goose Up

-- A channel may have several subscriptions of one app, one for each thing that they select.
CREATE TABLE new_subscriptions (
    id         INTEGER PRIMARY KEY AUTOINCREMENT, -- people name them by it: never used twice
    app        TEXT NOT NULL,
    channel    TEXT NOT NULL,
    filter     TEXT NOT NULL DEFAULT '', -- what it selects, in words
    floor      BIGINT NOT NULL,
    paused     TEXT NOT NULL DEFAULT '',
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    doc        TEXT NOT NULL,            -- the whole filter
    UNIQUE (app, channel, filter)
);
INSERT INTO new_subscriptions (id, app, channel, floor, paused, created_by, created_at, doc)
    SELECT id, app, channel, floor, paused, created_by, created_at, '{"broadcast":"' || broadcast || '"}' FROM subscriptions;
DROP TABLE subscriptions;
ALTER TABLE new_subscriptions RENAME TO subscriptions;
CREATE INDEX subscriptions_channel ON subscriptions (channel);

-- What is relayed: merge requests, tags, deployments, releases, pushes.
CREATE TABLE subjects (
    id      INTEGER PRIMARY KEY,
    project BIGINT NOT NULL,
    kind    TEXT NOT NULL,
    key     TEXT NOT NULL,
    version BIGINT NOT NULL,
    at      BIGINT NOT NULL, -- when something was last told of it
    doc     TEXT NOT NULL,
    UNIQUE (project, kind, key)
);
CREATE INDEX subjects_at ON subjects (at);

-- A thread is of a run, a build or a subject; the others are 0.
CREATE TABLE new_threads (
    id            INTEGER PRIMARY KEY,
    run           BIGINT NOT NULL DEFAULT 0,
    build         BIGINT NOT NULL DEFAULT 0,
    subject       BIGINT NOT NULL DEFAULT 0,
    channel       TEXT NOT NULL, -- or @ and a person
    app           TEXT NOT NULL,
    version       BIGINT NOT NULL,
    shown_version BIGINT NOT NULL,
    shown_by      BIGINT NOT NULL,
    broken        TEXT NOT NULL DEFAULT '',
    broadcast     TEXT NOT NULL,
    quiet         BIGINT NOT NULL DEFAULT 0,
    created_at    BIGINT NOT NULL,
    UNIQUE (run, build, subject, channel)
);
INSERT INTO new_threads (id, run, build, channel, app, version, shown_version, shown_by, broken, broadcast, created_at)
    SELECT id, run, build, channel, app, version, shown_version, shown_by, broken, broadcast, created_at FROM threads;
DROP TABLE threads;
ALTER TABLE new_threads RENAME TO threads;
CREATE INDEX threads_dirty ON threads (id) WHERE shown_version < version AND broken = '';
CREATE INDEX threads_channel ON threads (channel, id);
CREATE INDEX threads_app ON threads (app, id);
CREATE INDEX threads_build ON threads (build, channel) WHERE build <> 0;
CREATE INDEX threads_subject ON threads (subject, channel) WHERE subject <> 0;

CREATE TABLE people (
    slack        TEXT PRIMARY KEY,
    gitlab       BIGINT NOT NULL DEFAULT 0, -- 0: not connected
    username     TEXT NOT NULL DEFAULT '',
    name         TEXT NOT NULL DEFAULT '',
    notify       TEXT NOT NULL DEFAULT 'off',
    notify_since BIGINT NOT NULL DEFAULT 0,
    tokens       BLOB,                      -- sealed
    expires      BIGINT NOT NULL DEFAULT 0,
    connected_at BIGINT NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX people_gitlab ON people (gitlab) WHERE gitlab <> 0; -- a GitLab account is one person's

-- Who of GitLab is whom in Slack, as far as it was found out.
CREATE TABLE matches (
    gitlab     BIGINT PRIMARY KEY,
    slack      TEXT NOT NULL, -- '': nobody is known
    how        TEXT NOT NULL,
    checked_at BIGINT NOT NULL
);
CREATE INDEX matches_slack ON matches (slack);

CREATE TABLE homes (
    id            INTEGER PRIMARY KEY,
    slack         TEXT NOT NULL UNIQUE, -- whose
    app           TEXT NOT NULL,
    seen_at       BIGINT NOT NULL,
    version       BIGINT NOT NULL,
    shown_version BIGINT NOT NULL,
    doc           TEXT NOT NULL
);
CREATE INDEX homes_app ON homes (app);
CREATE INDEX homes_dirty ON homes (id) WHERE shown_version < version;

-- An action that waits for its person to connect holds no lock.
ALTER TABLE actions ADD COLUMN person TEXT NOT NULL DEFAULT ''; -- Slack's id of who asked
ALTER TABLE actions ADD COLUMN prompted BIGINT NOT NULL DEFAULT 0;
DROP INDEX actions_lock;
CREATE UNIQUE INDEX actions_lock ON actions (lock) WHERE lock <> '' AND state <> 'failed' AND state <> 'waits';
DROP INDEX actions_open;
CREATE INDEX actions_open ON actions (id) WHERE state = 'wanted' OR state = 'tried' OR state = 'waits';
CREATE INDEX actions_asked ON actions (lock) WHERE lock <> '';
CREATE INDEX actions_waits ON actions (person) WHERE state = 'waits';

-- +goose Down
SELECT 1;
