package alert

import (
	"fmt"
	"regexp"
)

// Metric is what is known of a metric that rules may name.
type Metric struct {
	Counter bool // else it is a gauge
	Labels  []string
}

// Series is one series of a metric as it is just now.
type Series struct {
	Metric  string
	Counter bool // else it is a gauge
	Labels  map[string]string
	Value   float64
}

// matcher is a condition on a label, as Prometheus has them.
type matcher struct {
	label, value string
	pattern      *regexp.Regexp // in the place of the value, if not nil
	not          bool
}

var matcherForm = regexp.MustCompile(`^([a-zA-Z_][a-zA-Z0-9_]*)(=~|!~|!=|=)(.*)$`)

// parseMatcher reads label=value, label!=value, label=~pattern or label!~pattern.
func parseMatcher(text string) (matcher, error) {
	parts := matcherForm.FindStringSubmatch(text)
	if parts == nil {
		return matcher{}, errMatcher
	}
	m := matcher{label: parts[1], value: parts[3], not: parts[2][0] == '!'}
	if op := parts[2]; op[len(op)-1] == '~' {
		var err error
		if m.pattern, err = regexp.Compile("^(?s:" + m.value + ")$"); err != nil {
			return m, fmt.Errorf("has %q, which is no pattern", m.value)
		}
	}
	return m, nil
}

func (m *matcher) matches(value string) bool {
	if m.pattern != nil {
		return m.pattern.MatchString(value) != m.not
	}
	return (m.value == value) != m.not
}

// measure adds up the series that an alert is about, and those of its whole metric. Found is false if there are none.
func (a *Alert) measure(series []Series) (value, whole float64, found bool) {
	var matchers []matcher
	for _, text := range a.Labels {
		m, err := parseMatcher(text)
		if err != nil {
			return 0, 0, false // it was checked by another version of the program
		}
		matchers = append(matchers, m)
	}
next:
	for _, s := range series {
		if s.Metric != a.Metric {
			continue
		}
		if le, bucket := s.Labels["le"]; !bucket || le == "+Inf" { // the last bucket has what all others have
			whole += s.Value
		}
		for i := range matchers {
			if !matchers[i].matches(s.Labels[matchers[i].label]) {
				continue next
			}
		}
		value, found = value+s.Value, true
	}
	return value, whole, found
}
