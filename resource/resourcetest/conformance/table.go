package conformance

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteTable writes a line for each result.
func WriteTable(w io.Writer, results []Result) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range results {
		detail := r.Rule
		if r.Outcome != Pass {
			detail += " [" + r.Detail + "]"
		}
		if _, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s: %s\n", r.Number, r.Level, r.Outcome, r.Clause, detail); err != nil {
			return err
		}
	}
	return table.Flush()
}

// WriteSummary writes how many checks of each section passed, as a table in Markdown.
func WriteSummary(w io.Writer, results []Result) error {
	var b strings.Builder
	b.WriteString("| section | checks | passed | departures |\n|---|---|---|---|\n")
	row := func(title, letter string) {
		var checks, passed int
		var departures []string
		for _, r := range results {
			if !strings.HasPrefix(r.Number, letter) {
				continue
			}
			checks++
			switch r.Outcome {
			case Pass:
				passed++
			case Departs:
				departures = append(departures, r.Number)
			}
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %s |\n", title, checks, passed, strings.Join(departures, ", "))
	}
	for _, section := range Sections {
		row(section.Letter+" "+section.Title, section.Letter)
	}
	row("all", "")
	_, err := io.WriteString(w, b.String())
	return err
}
