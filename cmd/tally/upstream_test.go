package main

import (
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/trust"
)

// TestWhatKeepsTheUplinkFromTheAuthority: another server at its address is refused, which a satellite shows as a finding; one that is
// away says so once, without the address of every layer.
func TestWhatKeepsTheUplinkFromTheAuthority(t *testing.T) {
	t.Parallel()
	other := httptest.NewUnstartedServer(nil)
	other.Config.ErrorLog = log.New(io.Discard, "", 0)
	other.StartTLS()
	now := time.Now // the certificate of the test server is judged
	_, err := newUplink(other.URL, trust.Fingerprint{}, now).carry(t.Context(), nil)
	if no := license.AsError(err); no == nil || no.Kind != license.KindRefused || no.Code != "server-certificate" || exitCode(err) != exitRefused {
		t.Errorf("another server: %v", err)
	}
	other.Close()
	_, err = newUplink(other.URL, trust.Fingerprint{}, now).carry(t.Context(), nil)
	if no := license.AsError(err); no == nil || strings.Count(no.Message, other.URL) != 1 || strings.Contains(no.Message, "Post") || exitCode(err) != exitUnreachable {
		t.Errorf("nobody there: %v", err)
	}
}
