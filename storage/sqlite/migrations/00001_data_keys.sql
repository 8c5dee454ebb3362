-- +goose Up
CREATE TABLE IF NOT EXISTS data_keys (
	id INTEGER PRIMARY KEY,
	keyset BLOB NOT NULL
);

-- +goose Down
DROP TABLE data_keys;
