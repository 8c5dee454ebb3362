package setting

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Reference is a page in Markdown about the settings that are declared: a table for each section, by name. It shows their
// defaults, not their values.
func (s *Store) Reference() string {
	s.mu.Lock()
	settings := maps.Clone(s.settings)
	s.mu.Unlock()
	sections := map[string][]*about{}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		section, _ := settings[name].split()
		sections[section] = append(sections[section], settings[name])
	}
	var page strings.Builder
	page.WriteString(introduction)
	for _, section := range slices.Sorted(maps.Keys(sections)) {
		title := section
		if title == "" {
			title = "Without a section"
		}
		fmt.Fprintf(&page, "\n## %s\n\n| key | kind | default | |\n|---|---|---|---|\n", title)
		for _, a := range sections[section] {
			_, key := a.split()
			fmt.Fprintf(&page, "| `%s` | %s | `%s` | %s |\n", key, a.kind, render(a.fallback), cell(a.doc+a.remarks()))
		}
	}
	return page.String()
}

const introduction = `# Settings

What the program and its modules can be told, as the entity ` + "`setting`" + ` shows it too. A file names a key within its
section (` + "`auth: {basic: {enabled: false}}`" + `), the environment in capitals with two underscores for a dot
(` + "`REEVE_AUTH__BASIC__ENABLED=false`" + `), a flag with its whole name (` + "`--set auth.basic.enabled=false`" + `).
`

// remarks are what else is to be known of a setting, as sentences.
func (a *about) remarks() (remarks string) {
	for _, r := range []struct {
		so   bool
		text string
	}{
		{a.fixed, " *Fixed*: it cannot be stored."},
		{a.restart, " *Needs a restart.*"},
		{a.secret, " *Secret.*"},
		{a.privileged, " Only who may do everything stores it."},
		{a.maintenance, " It can be changed during maintenance."},
	} {
		if r.so {
			remarks += r.text
		}
	}
	return remarks
}

// cell is a text that stands in a table.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;").Replace(text)
}
