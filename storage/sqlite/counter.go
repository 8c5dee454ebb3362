package sqlite

import (
	"fmt"
	"strconv"
	"strings"

	"reeve/storage"
)

// Counting keeps one row, which triggers change with each row of the table: there is one writer anyway.
func (Dialect) Counting(c storage.Counter) []string {
	name, table := strconv.Quote(c.Name), strconv.Quote(c.Table)
	var columns, counts []string
	for i := range c.Cells {
		columns = append(columns, fmt.Sprintf("n%d INTEGER NOT NULL", i))
		counts = append(counts, fmt.Sprintf("count(*) FILTER (WHERE cell = %d)", i))
	}
	// changes never goes back, so it begins with the time.
	statements := []string{
		"DROP TABLE IF EXISTS " + name,
		"CREATE TABLE " + name + " (slot INTEGER PRIMARY KEY, changes INTEGER NOT NULL, " + strings.Join(columns, ", ") + ")",
		"INSERT INTO " + name + " SELECT 0, unixepoch() * 1000000, " + strings.Join(counts, ", ") +
			" FROM (SELECT " + c.Cell("") + " AS cell FROM " + table + ")",
	}
	for _, event := range []struct{ name, cells, step string }{
		{"insert", c.Cell("NEW.") + " AS added", " + (added = %d)"},
		{"delete", c.Cell("OLD.") + " AS gone", " - (gone = %d)"},
		{"update", c.Cell("NEW.") + " AS added, " + c.Cell("OLD.") + " AS gone", " + (added = %[1]d) - (gone = %[1]d)"},
	} {
		sets := []string{"changes = changes + 1"}
		for i := range c.Cells {
			sets = append(sets, fmt.Sprintf("n%d = n%[1]d", i)+fmt.Sprintf(event.step, i))
		}
		trigger := strconv.Quote(c.Name + "_" + event.name)
		statements = append(statements,
			"DROP TRIGGER IF EXISTS "+trigger,
			"CREATE TRIGGER "+trigger+" AFTER "+strings.ToUpper(event.name)+" ON "+table+" BEGIN UPDATE "+name+
				" SET "+strings.Join(sets, ", ")+" FROM (SELECT "+event.cells+"); END")
	}
	return statements
}
