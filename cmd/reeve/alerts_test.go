package main

import "testing"

// TestAlertsScript runs the script that does with alerts what they are for.
func TestAlertsScript(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) { start(t, uri, everything).script("alerts.sh") })
}

// TestStatsScript runs the script that asks for stats and the usage report.
func TestStatsScript(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) { start(t, uri, everything).script("stats.sh") })
}
