-- +goose Up
CREATE TABLE IF NOT EXISTS data_keys (
	id bigint PRIMARY KEY,
	keyset bytea NOT NULL
);

-- +goose Down
DROP TABLE data_keys;
