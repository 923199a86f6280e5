CREATE TABLE goose_db_version (
		id INTEGER PRIMARY KEY AUTOINCREMENT,
		version_id INTEGER NOT NULL,
		is_applied INTEGER NOT NULL,
		tstamp TIMESTAMP DEFAULT (datetime('now'))
	);
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
CREATE TABLE jobs (
    project BIGINT NOT NULL,
    id      BIGINT NOT NULL, -- GitLab's
    run     BIGINT NOT NULL,
    status  TEXT NOT NULL,
    doc     TEXT NOT NULL,
    PRIMARY KEY (project, id)
);
CREATE INDEX jobs_run ON jobs (run, id);
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
CREATE TABLE channels (
    id           TEXT PRIMARY KEY, -- Slack's
    shared       BIGINT NOT NULL,
    logs_allowed BIGINT NOT NULL,
    checked_at   BIGINT NOT NULL
);
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
CREATE TABLE build_moves (
    id     INTEGER PRIMARY KEY,
    app    TEXT NOT NULL,
    ref    TEXT NOT NULL,
    before TEXT NOT NULL, -- '': there was no such branch
    after  TEXT NOT NULL, -- '': it was deleted
    UNIQUE (app, ref, before, after)
);
CREATE INDEX build_moves_after ON build_moves (app, ref, after);
CREATE TABLE "subscriptions" (
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
CREATE INDEX subscriptions_channel ON subscriptions (channel);
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
CREATE UNIQUE INDEX people_gitlab ON people (gitlab) WHERE gitlab <> 0;
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
CREATE TABLE meta (
    key   TEXT PRIMARY KEY, -- copied_at, restored_since, restored_at
    value BIGINT NOT NULL
);
CREATE TABLE "runs" (
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
CREATE INDEX runs_listed ON runs (project, child, remote);
CREATE INDEX runs_ref ON runs (project, ref, child, remote);
CREATE INDEX runs_verdict ON runs (project, ref, kind, remote) WHERE verdict <> '';
CREATE INDEX runs_parent ON runs (project, parent, remote) WHERE parent <> 0;
CREATE INDEX runs_dirty ON runs (id) WHERE stale = 1 OR driven_version < version;
CREATE INDEX runs_quiet ON runs (observed_at) WHERE final = 0 AND status NOT IN ('manual', 'scheduled');
CREATE TABLE "actions" (
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
CREATE UNIQUE INDEX actions_lock ON actions (lock) WHERE lock <> '' AND state <> 'failed' AND state <> 'waits';
CREATE INDEX actions_open ON actions (id) WHERE state = 'wanted' OR state = 'tried' OR state = 'waits';
CREATE INDEX actions_answer ON actions (id) WHERE answered = 0 AND finished_at <> 0;
CREATE INDEX actions_app ON actions (app, id);
CREATE INDEX actions_run ON actions (run) WHERE run <> 0;
CREATE INDEX actions_build ON actions (build) WHERE build <> 0;
CREATE INDEX actions_asked ON actions (lock) WHERE lock <> '';
CREATE INDEX actions_waits ON actions (person) WHERE state = 'waits';
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
CREATE TABLE token_sights (
    name TEXT PRIMARY KEY,
    doc  TEXT NOT NULL
);
CREATE TABLE "threads" (
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
CREATE INDEX threads_dirty ON threads (id) WHERE shown_version < version AND broken = '';
CREATE INDEX threads_channel ON threads (channel, id);
CREATE INDEX threads_app ON threads (app, id);
CREATE INDEX threads_build ON threads (build, channel) WHERE build <> 0;
CREATE INDEX threads_subject ON threads (subject, channel) WHERE subject <> 0;
CREATE INDEX threads_notice ON threads (notice, channel) WHERE notice <> 0;
CREATE INDEX runs_old ON runs (observed_at) WHERE final = 1;
CREATE INDEX actions_old ON actions (finished_at) WHERE finished_at <> 0 AND answered <> 0;
INSERT INTO goose_db_version (id, version_id, is_applied, tstamp) VALUES (1, 0, 1, '2026-11-29 12:09:32');
INSERT INTO goose_db_version (id, version_id, is_applied, tstamp) VALUES (2, 1, 1, '2026-11-29 12:09:32');
INSERT INTO goose_db_version (id, version_id, is_applied, tstamp) VALUES (3, 2, 1, '2026-11-29 12:09:32');
INSERT INTO goose_db_version (id, version_id, is_applied, tstamp) VALUES (4, 3, 1, '2026-11-29 12:09:32');
INSERT INTO goose_db_version (id, version_id, is_applied, tstamp) VALUES (5, 4, 1, '2026-11-29 12:09:32');
INSERT INTO goose_db_version (id, version_id, is_applied, tstamp) VALUES (6, 5, 1, '2026-11-29 12:09:32');
INSERT INTO projects (id, path, doc) VALUES (7, 'group/web', '{"ID":7,"Path":"group/web","Name":"","URL":"","DefaultBranch":"","Hook":0,"HookOurs":false,"Seen":{"health":"gone","since":"2026-11-29T09:00:00Z"},"Watermark":"0001-01-01T00:00:00Z","ReadAt":"0001-01-01T00:00:00Z","LinkedAt":"0001-01-01T00:00:00Z"}');
INSERT INTO apps (name, project, created_by, created_at) VALUES ('web', 7, '', 0);
INSERT INTO deliveries (id, key, kind, body, at, outcome, note, project, settled) VALUES (1, 'k', 'Job Hook', X'7B7D', 1795942800000, 'dead', 'the body is no JSON', 7, 1795942800000);
INSERT INTO jobs (project, id, run, status, doc) VALUES (7, 51, 1, 'running', '{"name":"build","stage":"","status":"running","log":"cut","excerpt":{"lines":[{"n":3,"text":"it''s\nbroken"}],"total":3}}');
INSERT INTO jobs (project, id, run, status, doc) VALUES (7, 61, 2, 'running', '{"name":"child","stage":"","status":"running"}');
INSERT INTO slots (thread, key, ts, digest, nonce, nonce_at, broadcast) VALUES (1, 'card', '17.1', '', '', 0, 0);
INSERT INTO slots (thread, key, ts, digest, nonce, nonce_at, broadcast) VALUES (2, 'card', '17.2', 'd', '', 0, 0);
INSERT INTO channels (id, shared, logs_allowed, checked_at) VALUES ('C1', 1, 1, 1795942800000);
INSERT INTO builds (id, app, project, ref, push, phase, final, verdict, version, driven_version, doc) VALUES (1, 'web', 7, 'main', 'web/heads/main@c2', 0, 0, '', 1, 0, '{"name":"web-b1-7atvuido","spec":{"clone_url":"","branch":"main","commit":"c2","image":""},"trigger":"push","before":"c1","status":"Pending","phase":0,"created_at":"2026-11-29T09:00:00Z"}');
INSERT INTO builds (id, app, project, ref, push, phase, final, verdict, version, driven_version, doc) VALUES (2, 'web', 7, 'main', NULL, 3, 1, 'Succeeded', 2, 0, '{"name":"web-b2-pwydinxs","spec":{"clone_url":"","branch":"main","commit":"c0ffee","image":""},"trigger":"","title":"Brew it","status":"Succeeded","phase":3,"digest":"sha256:13b0","created_at":"2026-11-29T09:00:00Z","finished_at":"2026-11-29T09:00:00Z","seen_at":"2026-11-29T09:00:00Z","log_done":true}');
INSERT INTO deployments (id, build, app, final, version, driven_version, doc) VALUES (1, 1, 'web', 0, 1, 0, '{"name":"web-d1-6ztytnq7","kind":"","target":{"namespace":"n","deployment":"d"},"image":"","status":"Pending","phase":0,"Reason":"","Message":"","created_at":"2026-11-29T09:00:00Z"}');
INSERT INTO deployments (id, build, app, final, version, driven_version, doc) VALUES (2, 1, 'web', 0, 1, 0, '{"name":"web-d2-hqfnhjxx","kind":"","target":{"namespace":"n","deployment":"d"},"image":"","status":"Pending","phase":0,"Reason":"","Message":"","created_at":"2026-11-29T09:00:00Z"}');
INSERT INTO build_settings (app, head, doc) VALUES ('web', 'c2', '{"enabled":true,"branch":"main","auto_deploy":false,"supersede":true,"tags":"v*"}');
INSERT INTO build_moves (id, app, ref, before, after) VALUES (1, 'web', 'main', 'c1', 'c2');
INSERT INTO subscriptions (id, app, channel, filter, floor, paused, created_by, created_at, doc) VALUES (1, 'web', 'C1', '', 0, '', '', 0, '{"broadcast":"on"}');
INSERT INTO subscriptions (id, app, channel, filter, floor, paused, created_by, created_at, doc) VALUES (2, 'web', 'C3', 'pipelines builds merge_requests tags deployments releases pushes', 0, '', '', 0, '{"topics":["pipelines","builds","merge_requests","tags","deployments","releases","pushes"],"broadcast":"on"}');
INSERT INTO subjects (id, project, kind, key, version, at, doc) VALUES (1, 7, 'tag', 'v1@c1', 1, 1795942800000, '{"state":"created","moved_at":"2026-11-29T09:00:00Z","told":[{"state":"created"}]}');
INSERT INTO people (slack, gitlab, username, name, notify, notify_since, tokens, expires, connected_at) VALUES ('U1', 5, 'ann', '', 'all', 1795942800000, X'8C0CC17A84544242E9EC35784C5CBF5F97BCB4B62D430DC0E3F2522322140F0D12241C51B5BA055D20AEAF073A82BA7EF23E3B4E47E68B704B7ACD7FDA1BEB99F356F1CFD1F76D53D2200ECF4ED720192910E0D5131E22742B7175EF7945CAE1DAE4850441B64E24CEB3F7C9CA2911F40D8DCE853181EE58CA78858948C1834430F1928D', 1795946400000, 1795942800000);
INSERT INTO matches (gitlab, slack, how, checked_at) VALUES (5, 'U1', 'connected', 1795942800000);
INSERT INTO matches (gitlab, slack, how, checked_at) VALUES (8, 'U8', 'e-mail', 1795942800000);
INSERT INTO homes (id, slack, app, seen_at, version, shown_version, doc) VALUES (1, 'U1', 'web', 1795942800000, 10, 0, '{}');
INSERT INTO meta (key, value) VALUES ('copied_at', 1795942800000);
INSERT INTO runs (id, project, remote, ref, kind, status, final, child, parent, verdict, observed_at, stale, version, driven_version, doc) VALUES (1, 7, 5, 'main', 'branch', 'running', 0, 0, 0, '', 1795942800000, 1, 4, 0, '{"ref":"main","status":"running"}');
INSERT INTO runs (id, project, remote, ref, kind, status, final, child, parent, verdict, observed_at, stale, version, driven_version, doc) VALUES (2, 7, 6, '', 'branch', 'running', 0, 1, 5, '', 1795942800000, 0, 1, 0, '{"status":"running","parent":{"project":7,"pipeline":5}}');
INSERT INTO actions (id, kind, app, run, build, job, channel, person, lock, state, late, answered, prompted, created_at, tried_at, finished_at, doc, reply_url, secret) VALUES (1, 'cancel', 'web', 1, 0, 0, '', '', 'l', 'wanted', 0, 0, 0, 1795942800000, 0, 0, '{"by":{"id":""},"params":{},"outcome":{}}', X'8C0CC17AAA5DD2C485969148BEF033CA5CA174BCBA5D8D145904612EC5440F5642E9C32340D816C9E7C41EFB73B990EAB765FD7BA9', X'8C0CC17A982F0233D0D1DED257667B6B26DE70041BD97BB2E764671ABE892D0E0E9F8BFC1361');
INSERT INTO actions (id, kind, app, run, build, job, channel, person, lock, state, late, answered, prompted, created_at, tried_at, finished_at, doc, reply_url, secret) VALUES (2, 'retry', 'web', 1, 0, 0, '', 'U1', 'w', 'waits', 0, 0, 0, 1795942800000, 0, 0, '{"by":{"id":"U1"},"params":{},"outcome":{}}', NULL, NULL);
INSERT INTO actions (id, kind, app, run, build, job, channel, person, lock, state, late, answered, prompted, created_at, tried_at, finished_at, doc, reply_url, secret) VALUES (3, 'retry', 'web', 1, 0, 0, '', 'U2', 'retry/1/1', 'done', 0, 0, 0, 1795942800000, 0, 1795942800000, '{"by":{"id":"U2","name":"bob"},"params":{},"outcome":{"remote":5,"run":1}}', NULL, NULL);
INSERT INTO notices (id, kind, key, told, opened_at, closed_at, doc) VALUES (1, 'hooks', '2026-11-29T09:00:00Z', 0, 1795942800000, 0, '{}');
INSERT INTO token_sights (name, doc) VALUES ('gitlab', '{"id":1,"name":"kovra"}');
INSERT INTO threads (id, run, build, subject, notice, channel, app, version, shown_version, shown_by, broken, broadcast, quiet, created_at) VALUES (1, 1, 0, 0, 0, 'C1', 'web', 7, 0, 0, '', 'on', 0, 1795942800000);
INSERT INTO threads (id, run, build, subject, notice, channel, app, version, shown_version, shown_by, broken, broadcast, quiet, created_at) VALUES (2, 0, 0, 1, 0, 'C3', 'web', 3, 0, 0, '', 'on', 0, 1795942800000);
INSERT INTO threads (id, run, build, subject, notice, channel, app, version, shown_version, shown_by, broken, broadcast, quiet, created_at) VALUES (3, 0, 1, 0, 0, 'C1', 'web', 6, 0, 0, '', 'on', 0, 1795942800000);
INSERT INTO threads (id, run, build, subject, notice, channel, app, version, shown_version, shown_by, broken, broadcast, quiet, created_at) VALUES (4, 0, 1, 0, 0, 'C3', 'web', 5, 0, 0, '', 'on', 0, 1795942800000);
INSERT INTO threads (id, run, build, subject, notice, channel, app, version, shown_version, shown_by, broken, broadcast, quiet, created_at) VALUES (5, 0, 2, 0, 0, 'C1', 'web', 4, 0, 0, '', 'on', 0, 1795942800000);
INSERT INTO threads (id, run, build, subject, notice, channel, app, version, shown_version, shown_by, broken, broadcast, quiet, created_at) VALUES (6, 0, 2, 0, 0, 'C3', 'web', 3, 0, 0, '', 'on', 0, 1795942800000);
INSERT INTO sqlite_sequence (name, seq) VALUES ('goose_db_version', 6);
INSERT INTO sqlite_sequence (name, seq) VALUES ('subscriptions', 2);
INSERT INTO sqlite_sequence (name, seq) VALUES ('runs', 2);
INSERT INTO sqlite_sequence (name, seq) VALUES ('actions', 3);
INSERT INTO sqlite_sequence (name, seq) VALUES ('notices', 1);
INSERT INTO sqlite_sequence (name, seq) VALUES ('builds', 2);
INSERT INTO sqlite_sequence (name, seq) VALUES ('deployments', 2);
