-- +goose Up

CREATE TABLE channels (
    id           TEXT PRIMARY KEY, -- Slack's
    shared       BIGINT NOT NULL,
    logs_allowed BIGINT NOT NULL,
    checked_at   BIGINT NOT NULL
);

-- +goose Down
SELECT 1;
