package postgres

import (
	"fmt"

	"github.com/lib/pq"

	"reeve/storage"
)

// Hour divides seconds.
func (Dialect) Hour(column string) string {
	return "floor(extract(epoch FROM " + column + ") / 3600)::bigint"
}

// Tallying keeps several rows of an hour, so that writers do not wait for each other: a trigger changes one that no other
// transaction has taken, or adds one. It is called for the rows whose hour changes, which are few of those that change.
func (d Dialect) Tallying(t storage.Tally) []string {
	name, table, column := pq.QuoteIdentifier(t.Name), pq.QuoteIdentifier(t.Table), pq.QuoteIdentifier(t.Column)
	step, keep := pq.QuoteIdentifier(t.Name+"_step"), pq.QuoteIdentifier(t.Name+"_keep")
	before, after := d.Hour("OLD."+column), d.Hour("NEW."+column)
	statements := []string{
		"LOCK TABLE " + table + " IN SHARE ROW EXCLUSIVE MODE",
		"DROP TABLE IF EXISTS " + name,
		"CREATE TABLE " + name + " (slot bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, hour bigint NOT NULL, n bigint NOT NULL)",
		"CREATE INDEX ON " + name + " (hour)",
		fmt.Sprintf("INSERT INTO %s (hour, n) SELECT %s, count(*) FROM %s WHERE %s IS NOT NULL GROUP BY 1", name, d.Hour(column), table, column),
		"CREATE OR REPLACE FUNCTION " + step + "(at bigint, by bigint) RETURNS void LANGUAGE plpgsql AS $body$\n" + `BEGIN
	UPDATE ` + name + ` SET n = n + by WHERE slot = (SELECT slot FROM ` + name + ` WHERE hour = at LIMIT 1 FOR UPDATE SKIP LOCKED);
	IF NOT FOUND THEN
		INSERT INTO ` + name + ` (hour, n) VALUES (at, by);
	END IF;
END` + "\n$body$",
		"CREATE OR REPLACE FUNCTION " + keep + "() RETURNS trigger LANGUAGE plpgsql AS $body$\n" + `BEGIN
	IF TG_OP = 'TRUNCATE' THEN
		DELETE FROM ` + name + `;
		RETURN NULL;
	END IF;
	IF TG_OP <> 'INSERT' THEN
		IF OLD.` + column + ` IS NOT NULL THEN
			PERFORM ` + step + `(` + before + `, -1);
		END IF;
	END IF;
	IF TG_OP <> 'DELETE' THEN
		IF NEW.` + column + ` IS NOT NULL THEN
			PERFORM ` + step + `(` + after + `, 1);
		END IF;
	END IF;
	RETURN NULL;
END` + "\n$body$",
	}
	for _, event := range []struct{ name, on, each string }{
		{"insert", "INSERT", "ROW WHEN (NEW." + column + " IS NOT NULL)"},
		{"delete", "DELETE", "ROW WHEN (OLD." + column + " IS NOT NULL)"},
		{"update", "UPDATE", "ROW WHEN (" + before + " IS DISTINCT FROM " + after + ")"},
		{"truncate", "TRUNCATE", "STATEMENT"},
	} {
		statements = append(statements, "CREATE OR REPLACE TRIGGER "+pq.QuoteIdentifier(t.Name+"_"+event.name)+
			" AFTER "+event.on+" ON "+table+" FOR EACH "+event.each+" EXECUTE FUNCTION "+keep+"()")
	}
	return statements
}
