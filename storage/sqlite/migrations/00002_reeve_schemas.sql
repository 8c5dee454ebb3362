-- +goose Up
CREATE TABLE IF NOT EXISTS reeve_schemas (
	name TEXT PRIMARY KEY,
	hash TEXT NOT NULL
) WITHOUT ROWID;

-- +goose Down
DROP TABLE reeve_schemas;
