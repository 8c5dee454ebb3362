package postgres

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/lib/pq"

	"reeve/storage"
)

// slots is how many rows a counter begins with. One alone would have all writers wait for each other.
const slots = 16

// Counting keeps several rows, so that writers do not wait for each other. A statement's trigger takes the row of its
// backend, or the next that no other transaction has taken; it adds one if there are too few. It sees the statement's
// rows at once, those of COPY and of cascades too. Rows that are all in one cell, as a single one is, are counted for a
// third of what sums over all cells cost. Where rows count late, inserting them costs nothing. Who truncates a table is
// alone with it. Who writes may have another search path than ours.
func (Dialect) Counting(c storage.Counter) []string {
	name, table, function := pq.QuoteIdentifier(c.Name), pq.QuoteIdentifier(c.Table), pq.QuoteIdentifier(c.Name+"_keep")
	var columns, counts, deltas, sets, ones, zeros []string
	for i := range c.Cells {
		columns = append(columns, fmt.Sprintf("n%d bigint NOT NULL DEFAULT 0", i))
		counts = append(counts, fmt.Sprintf("count(*) FILTER (WHERE cell = %d)", i))
		deltas = append(deltas, fmt.Sprintf("coalesce(sum(step) FILTER (WHERE cell = %d), 0) AS n%[1]d", i))
		sets = append(sets, fmt.Sprintf("n%d = c.n%[1]d + d.n%[1]d", i))
		ones = append(ones, fmt.Sprintf("n%d = c.n%[1]d + CASE low WHEN %[1]d THEN steps ELSE 0 END", i))
		zeros = append(zeros, fmt.Sprintf("n%d = 0", i))
	}
	added := "SELECT " + c.Cell("") + " AS cell, 1 AS step FROM added" + c.Counted()
	gone := "SELECT " + c.Cell("") + " AS cell, -1 AS step FROM gone" + c.Counted()
	// OFFSET 0 has the cell of a row worked out once, not once for each number.
	survey := func(rows string) string {
		return "SELECT min(cell), max(cell), sum(step) INTO low, high, steps FROM (" + rows + " OFFSET 0) AS x;"
	}
	keep := func(rows string) string {
		return "UPDATE " + name + " AS c SET changes = c.changes + 1, " + strings.Join(sets, ", ") +
			" FROM (SELECT " + strings.Join(deltas, ", ") + " FROM (" + rows + " OFFSET 0) AS x) AS d WHERE c.slot = taken;"
	}
	// A statement about the rows that were written, whichever tables of them the trigger has.
	about := func(statement func(rows string) string) string {
		return "IF TG_OP = 'INSERT' THEN " + statement(added) + " ELSIF TG_OP = 'DELETE' THEN " + statement(gone) +
			" ELSE " + statement(added+" UNION ALL "+gone) + " END IF;"
	}
	// changes never goes back, so it begins with the time.
	statements := []string{
		"LOCK TABLE " + table + " IN SHARE ROW EXCLUSIVE MODE",
		"DROP TABLE IF EXISTS " + name,
		"CREATE TABLE " + name + " (slot bigint PRIMARY KEY, " +
			"changes bigint NOT NULL DEFAULT 0, " + strings.Join(columns, ", ") + ") WITH (fillfactor = 10)",
		"INSERT INTO " + name + " SELECT 0, extract(epoch FROM clock_timestamp())::bigint * 1000000, " + strings.Join(counts, ", ") +
			" FROM (SELECT " + c.Cell("") + " AS cell FROM " + table + c.Counted() + ") AS x",
		fmt.Sprintf("INSERT INTO %s (slot) SELECT generate_series(1, %d)", name, slots-1),
		"CREATE OR REPLACE FUNCTION " + function + "() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $body$\n" + `DECLARE
	taken bigint := pg_backend_pid() % ` + strconv.Itoa(slots) + `;
	low integer;
	high integer;
	steps bigint;
BEGIN
	IF TG_OP = 'TRUNCATE' THEN
		UPDATE ` + name + ` SET changes = changes + 1, ` + strings.Join(zeros, ", ") + `;
		RETURN NULL;
	END IF;
	` + about(survey) + `
	IF low IS NULL THEN
		RETURN NULL;
	END IF;
	WHILE NOT pg_try_advisory_xact_lock(TG_RELID::integer, taken::integer) LOOP
		taken := taken + 1;
	END LOOP;
	LOOP
		IF low = high THEN
			UPDATE ` + name + ` AS c SET changes = c.changes + 1, ` + strings.Join(ones, ", ") + ` WHERE c.slot = taken;
		ELSE
			` + about(keep) + `
		END IF;
		EXIT WHEN FOUND;
		INSERT INTO ` + name + ` (slot) VALUES (taken);
	END LOOP;
	RETURN NULL;
END` + "\n$body$",
	}
	for _, event := range []struct{ name, rows string }{
		{"INSERT", " REFERENCING NEW TABLE AS added"},
		{"DELETE", " REFERENCING OLD TABLE AS gone"},
		{"UPDATE", " REFERENCING NEW TABLE AS added OLD TABLE AS gone"},
		{"TRUNCATE", ""},
	} {
		trigger := pq.QuoteIdentifier(c.Name + "_" + strings.ToLower(event.name))
		if event.name == "INSERT" && c.Late != "" { // what is inserted is in no cell yet
			continue
		}
		statements = append(statements, "CREATE OR REPLACE TRIGGER "+trigger+
			" AFTER "+event.name+" ON "+table+event.rows+" FOR EACH STATEMENT EXECUTE FUNCTION "+function+"()")
	}
	return statements
}
