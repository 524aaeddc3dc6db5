package license_test

import (
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/license"
)

// TestSatelliteStanding is section 13.8, row by row, with the instant before and after each bound, and the warning of rule 51.
func TestSatelliteStanding(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		ago, ends time.Duration
		removed   bool
		state     license.SatelliteState
		facts     []string
	}{
		"30 days":              {30 * day, 3 * 365 * day, false, license.SatelliteOK, nil},
		"a second later":       {30*day + time.Second, 3 * 365 * day, false, license.SatelliteDue, []string{license.FactSyncDue}},
		"60 days":              {60 * day, 3 * 365 * day, false, license.SatelliteDue, []string{license.FactSyncDue}},
		"overdue":              {60*day + time.Second, 3 * 365 * day, false, license.SatelliteOverdue, []string{license.FactSyncOverdue}},
		"90 days":              {90 * day, 3 * 365 * day, false, license.SatelliteOverdue, []string{license.FactSyncOverdue}},
		"gone":                 {90*day + time.Second, 3 * 365 * day, false, license.SatelliteRemoved, []string{license.FactSyncGone}},
		"a year":               {366 * day, 3 * 365 * day, false, license.SatelliteRemoved, []string{license.FactSyncGone, license.FactSyncStale}},
		"the certificate ends": {day, 59 * day, false, license.SatelliteOK, []string{license.FactIdentityEnds}},
		"the certificate over": {day, -day, false, license.SatelliteOK, []string{license.FactIdentityEnds}},
		"not soon":             {day, 61 * day, false, license.SatelliteOK, nil},
		"by an administrator":  {day, day, true, license.SatelliteRemoved, nil},
	} {
		state, facts := license.SatelliteStanding(now.Add(-c.ago), now.Add(c.ends), c.removed, now)
		if state != c.state || len(facts) != len(c.facts) {
			t.Errorf("%s: %s, %v", name, state, facts)
			continue
		}
		for i, f := range facts {
			if f.Code != c.facts[i] || f.Text() == f.Code {
				t.Errorf("%s: %s says %q", name, f.Code, f.Text())
			}
		}
	}
	if state, facts := license.SatelliteStanding(time.Time{}, time.Time{}, false, now); state != license.SatellitePending || len(facts) != 1 {
		t.Errorf("never synchronized: %s, %v", state, facts)
	}
}
