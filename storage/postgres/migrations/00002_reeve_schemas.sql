-- +goose Up
CREATE TABLE IF NOT EXISTS reeve_schemas (
	name text COLLATE "C" PRIMARY KEY,
	hash text NOT NULL
);

-- +goose Down
DROP TABLE reeve_schemas;
