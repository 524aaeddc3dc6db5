package web

import (
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/callbridge"
	"github.com/tallystick/tallystick/test/double"
)

// TestBridgeAPI: from its settings to what it says, over REST; and the password stands in no answer and no log.
func TestBridgeAPI(t *testing.T) {
	t.Parallel()
	w := bridged(t)
	ctx := t.Context()
	b := double.Start(t)
	given := api.NewBridgeAPI{URL: b.URL, User: double.User, Password: double.Password}
	set, err := w.SetBridgeAPI(ctx, "acme.example", "main", given)
	if err != nil || set.URL != b.URL || set.IntervalSeconds != 300 || set.BridgeName != "main" || set.Trust != "system" {
		t.Fatalf("set: %+v, %v", set, err)
	}
	if _, err := w.SetBridgeAPI(ctx, "acme.example", "other", given); err == nil || !strings.Contains(err.Error(), "other") {
		t.Errorf("a bridge that is not there: %v", err)
	}
	if found, err := w.TestBridgeAPI(ctx, "acme.example", "main", api.NewBridgeAPI{}); err != nil || found.Version != "3.8.1" || found.Receives != "no" || len(found.Advice) == 0 {
		t.Errorf("test: %+v, %v", found, err)
	}
	if _, err := w.TestBridgeAPI(ctx, "acme.example", "main", api.NewBridgeAPI{URL: b.URL, User: double.User, Password: "wrong"}); err == nil || !strings.Contains(err.Error(), "sign-in") {
		t.Errorf("test with a wrong password: %v", err)
	}
	polled, err := w.PollBridgeAPIs(ctx, "acme.example", "main")
	if err != nil || len(polled.Items) != 1 {
		t.Fatalf("poll: %+v, %v", polled, err)
	}
	f := polled.Items[0].Found
	if f.Failure != nil || f.Snapshots != 4 || len(f.Hosts) != 1 || f.Licenses.Personal != 2 || f.Licenses.Weighted != 2000 || f.Calls != 1 || f.Running != 1 ||
		f.Directory.Users != 5 || f.Tail.Next != 111 || len(f.Alarms) != 1 {
		t.Errorf("poll: %+v", f)
	}
	all, err := api.Collect(w.BridgeAPIs(ctx, "acme.example", "main"))
	if err != nil || len(all) != 1 || all[0].NextAt == nil || all[0].Found.Version != f.Version {
		t.Errorf("list: %+v, %v", all, err)
	}
	from := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	w.clock.Advance(10 * time.Minute)
	r, err := w.Reconcile(ctx, "acme.example", "main", from, time.Time{}, 2)
	if err != nil || r.Compared != 4 || r.Skipped == "" || len(r.Differences) != 2 || r.PeakTheirs != 600 {
		t.Errorf("reconcile: %+v, %v", r, err)
	}
	alarms := readFace[callbridge.Alarms](w, "/system/alarms")
	kinds := map[callbridge.Text]bool{}
	for _, a := range alarms.Alarms {
		kinds[a.Type] = true
	}
	if !kinds["cdrReceiverMissing"] || !kinds["recorderLowDiskSpace"] {
		t.Errorf("alarms: %+v", alarms)
	}
	if n, err := w.RemoveBridgeAPIs(ctx, "acme.example", "main", "", true); err != nil || n.Removed != 1 {
		t.Errorf("remove: %+v, %v", n, err)
	}
	if _, err := w.PollBridgeAPIs(ctx, "acme.example", "main"); err == nil {
		t.Error("what was removed is asked")
	}
	if log := w.log.String(); strings.Contains(log, double.Password) {
		t.Error("the password is in the log")
	}
}

// TestRule26FaceUsage: our count every five minutes in the vendor's form, the newest first, both bounds included.
func TestRule26FaceUsage(t *testing.T) {
	t.Parallel()
	w := bridged(t) // two meetings since ten minutes, one of them on a personal license; the engine is no older
	w.clock.Advance(time.Minute)
	all := readFace[callbridge.Usage](w, "/system/MPLicenseUsage?startTime="+w.clock.Now().Add(-30*time.Minute).UTC().Format(time.RFC3339))
	if all.Total != 3 || !all.Entries[0].Time.Equal(w.clock.Now().Truncate(5*time.Minute)) {
		t.Fatalf("got %+v", all)
	}
	for _, e := range all.Entries {
		want := callbridge.Counts{Assigned: e.Assigned, Personal: 100, Full: 100}
		if e.Counts != want {
			t.Errorf("%s: got %+v, want %+v", e.Time, e.Counts, want)
		}
	}
	if one := readFace[callbridge.Usage](w, "/system/MPLicenseUsage?limit=1&offset=1&startTime="+all.Entries[1].Time.Format(time.RFC3339)+"&endTime="+all.Entries[0].Time.Format(time.RFC3339)); one.Total != 2 || len(one.Entries) != 1 || one.Entries[0] != all.Entries[1] {
		t.Errorf("got %+v", one)
	}
	if d := readFace[callbridge.Usage](w, "/system/MPLicenseUsage?hostId=another"); d.Total != 0 {
		t.Errorf("another host: %+v", d)
	}
	// With a second bridge there are two hosts, and their parts are the account's use.
	if _, err := w.CreateBridge(t.Context(), "acme.example", api.NewBridge{Name: "branch"}); err != nil {
		t.Fatal(err)
	}
	hosts := readFace[callbridge.KnownHosts](w, "/system/MPLicenseUsage/knownHosts")
	if hosts.Total != 2 || hosts.Hosts[0].ID == hosts.Hosts[1].ID {
		t.Fatalf("got hosts %+v", hosts)
	}
	var sum [2]callbridge.Hundredths
	for i, h := range hosts.Hosts {
		part := readFace[callbridge.Usage](w, "/system/MPLicenseUsage?hostId="+string(h.ID)+"&startTime="+all.Entries[2].Time.Format(time.RFC3339))
		if part.Total != 3 {
			t.Errorf("host %d: got %+v", i, part)
		}
		for _, e := range part.Entries {
			sum[i] += e.Personal + e.Full
		}
	}
	if max(sum[0], sum[1]) != 600 || min(sum[0], sum[1]) != 0 {
		t.Errorf("got %v hundredths of three moments, want all on the host of the bridge that has the meetings", sum)
	}
	status := readFace[callbridge.Status](w, "/system/status")
	if whole := readFace[callbridge.Usage](w, "/system/MPLicenseUsage?hostId="+string(status.HostID)+"&startTime="+all.Entries[2].Time.Format(time.RFC3339)); whole.Total != 3 || whole.Entries[0] != all.Entries[0] {
		t.Errorf("the account: got %+v", whole)
	}
}
