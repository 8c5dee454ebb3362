package sqlite

import (
	"fmt"
	"strconv"
	"strings"

	"reeve/storage"
)

// Hour divides microseconds.
func (Dialect) Hour(column string) string { return "(" + column + " / 3600000000)" }

// Tallying keeps one row an hour, which triggers change with each row of the table whose hour changes.
func (d Dialect) Tallying(t storage.Tally) []string {
	name, table, column := strconv.Quote(t.Name), strconv.Quote(t.Table), strconv.Quote(t.Column)
	before, after := d.Hour("OLD."+column), d.Hour("NEW."+column)
	gone := "UPDATE " + name + " SET n = n - 1 WHERE hour = " + before + "; "
	added := "INSERT INTO " + name + " SELECT " + after + ", 1 WHERE NEW." + column + " IS NOT NULL ON CONFLICT (hour) DO UPDATE SET n = n + 1; "
	statements := []string{
		"DROP TABLE IF EXISTS " + name,
		"CREATE TABLE " + name + " (hour INTEGER PRIMARY KEY, n INTEGER NOT NULL)",
		fmt.Sprintf("INSERT INTO %s SELECT %s, count(*) FROM %s WHERE %s IS NOT NULL GROUP BY 1", name, d.Hour(column), table, column),
	}
	for _, event := range []struct{ name, on, when, do string }{
		{"insert", "INSERT", "NEW." + column + " IS NOT NULL", added},
		{"delete", "DELETE", "OLD." + column + " IS NOT NULL", gone},
		{"update", "UPDATE OF " + column, before + " IS NOT " + after, gone + added},
	} {
		trigger := strconv.Quote(t.Name + "_" + event.name)
		statements = append(statements, "DROP TRIGGER IF EXISTS "+trigger,
			"CREATE TRIGGER "+trigger+" AFTER "+event.on+" ON "+table+" WHEN "+event.when+" BEGIN "+strings.TrimSpace(event.do)+" END")
	}
	return statements
}
