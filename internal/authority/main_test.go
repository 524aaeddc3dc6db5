package authority_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain lets the properties try the same cases each time, which anybody can repeat, and few, as each makes a database; make
// soak tries others.
func TestMain(m *testing.M) {
	flag.Parse()
	if seed := flag.Lookup("rapid.seed"); seed.Value.String() == "0" && os.Getenv("TALLY_TEST_KILLS") == "" {
		_ = seed.Value.Set("48")
	}
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		_ = checks.Value.Set("40")
	}
	os.Exit(m.Run())
}
