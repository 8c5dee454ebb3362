package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// TestAlertsScript runs the script that does with alerts what they are for.
func TestAlertsScript(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) { start(t, uri, everything).script("alerts.sh") })
}

// TestStatsScript runs the script that asks for stats and the usage report.
func TestStatsScript(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) { start(t, uri, everything).script("stats.sh") })
}

// waitingAlert makes an alert that is met while messages wait, and waits until it was evaluated.
func (s *server) waitingAlert(lasting string) (path string) {
	s.Helper()
	path = "alerts/" + idOf(s.do(201, "POST", "alerts", resourceDocument("alert", "", map[string]any{
		"name": "Waiting", "metric": "reeve_queue_length", "labels": []string{"queue=messages"}, "function": "value", "threshold": 0.5, "for": lasting}, nil)))
	s.alerted(path, "ok")
	return path
}

// alerted waits until an alert is in a state.
func (s *server) alerted(path, state string) {
	s.Helper()
	eventually(s.T, patience, "the alert is "+state, func() bool { return dig(s.get(path), "data", "attributes", "state") == state })
}

// again waits until an alert was evaluated some times more.
func (s *server) again(path string, times int) {
	s.Helper()
	at := func() any { return dig(s.get(path), "data", "attributes", "last_evaluated_at") }
	for range times {
		before := at()
		eventually(s.T, patience, "the alert is evaluated again", func() bool { return at() != before })
	}
}

// TestAlertTakenOver kills the node that evaluates an alert: while the rule is met for not long enough yet, and while it fires.
// It fires once, and is resolved once, by whichever node.
func TestAlertTakenOver(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		yaml := everything + "alerts: {interval: 1s}\n"
		prepare(t, uri)
		p := launch(t, uri, yaml)
		path := p.waitingAlert("8s")
		next := func(state string) {
			t.Helper()
			p.alerted(path, state) // and nobody else is there who could evaluate it
			if err := p.end(syscall.SIGKILL); err == nil {
				t.Fatal("the program ended by itself")
			}
			p = launch(t, uri, yaml)
		}
		written := p.write("waits", "quentin")
		next("pending")
		next("firing")
		p.again(path, 3)
		p.alerted(path, "firing")
		other := p
		if strings.HasPrefix(uri, "postgres") { // both evaluate it in turn
			other = launch(t, uri, yaml)
			other.again(path, 5)
		}
		other.do(204, "DELETE", "messages/"+idOf(written), nil)
		other.alerted(path, "ok")
		other.again(path, 3)
		if got := fmt.Sprint(other.verbs(path)); got != "[create fire resolve]" {
			t.Errorf("the trail has %s", got)
		}
	})
}
