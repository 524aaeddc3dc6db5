package agent

import (
	"context"
	"encoding/json"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/trust"
)

// cluster is a holder that is registered and answers its members at an address.
type cluster struct {
	*product
	address string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	p := newProduct(t, 0)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{p, l.Addr().String()}
	c.must(c.HoldCluster(t.Context(), "node-1", c.address, c.address))
	c.register()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.ServeCluster(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return c
}

// join makes a member.
func (c *cluster) join(name string) *Agent {
	c.t.Helper()
	a, err := New(newMemory(), Options{Now: c.clock.now, Uptime: c.clock.uptime, Rand: func() float64 { return 0 }})
	c.must(err)
	c.must(a.Init(c.t.Context(), Product{Name: "Node", PID: "TEST", Serial: name, Version: "1"}))
	invitation, err := c.Invite(c.t.Context())
	c.must(err)
	c.must(a.JoinCluster(c.t.Context(), invitation, name))
	return a
}

// reports is a report of a member that uses so much.
func (c *cluster) reports(a *Agent, n int64) {
	c.t.Helper()
	c.must(a.SetUsage(c.t.Context(), "cms-smp-plus", n))
	_, err := a.Report(c.t.Context())
	c.must(err)
}

// sum is what the holder reports.
func (c *cluster) wantSum(want int64) {
	c.t.Helper()
	c.report()
	if got := c.desk.only().usage["cms-smp-plus"]; got != want {
		c.t.Errorf("the authority hears of %d, want %d", got, want)
	}
}

func TestClusterReportsTheSum(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.desk.stock["cms-smp-plus"] = 6
	c.use(1)
	second, third := c.join("node-2"), c.join("node-3")
	c.reports(second, 2)
	c.reports(third, 3)
	c.wantSum(6)
	c.wantAuth(license.StatusAuthorized)
	c.reports(third, 4)
	c.reports(third, 4) // again changes nothing
	c.wantSum(7)

	// What the holder shows, a member shows; its own use is its own.
	c.reports(second, 2)
	s, err := second.Status(t.Context())
	c.must(err)
	if s.Registration.Status != Registered || s.Authorization.Status != string(license.StatusOutOfCompliance) || s.Cluster.Role != RoleMember || s.Cluster.Holder != "node-1" {
		t.Errorf("a member shows %+v", s)
	}
	if len(s.Licenses) != 1 || s.Licenses[0].Count != 2 || s.Licenses[0].Status != string(license.StatusOutOfCompliance) {
		t.Errorf("a member shows the licenses %+v", s.Licenses)
	}
	if ok, d := second.Allowed(ActionProvision); !ok || d.Sentence == "" {
		t.Errorf("a member may not go on: %+v", d)
	}
	h := c.status().Cluster
	if h == nil || h.Role != RoleHolder || len(h.Nodes) != 2 || h.Nodes[0].Name != "node-2" || h.Nodes[1].Usage["cms-smp-plus"] != 4 || !h.Nodes[1].Counts {
		t.Errorf("the holder shows %+v", h)
	}
	told, err := third.LeaveCluster(t.Context(), false)
	if err != nil || !told {
		t.Errorf("leave: %t, %v", told, err)
	}
	c.wantSum(3)
	if s, err := third.Status(t.Context()); err != nil || s.Registration.Status != Unregistered || s.Cluster != nil {
		t.Errorf("after it left, a node shows %+v, %v", s, err)
	}
}

func TestSilentNodeCountsForABoundedTime(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.use(1)
	second := c.join("node-2")
	c.reports(second, 2)
	for _, step := range []struct {
		passes time.Duration
		want   int64
	}{{NodeLife - time.Minute, 3}, {2 * time.Minute, 1}, {NodeLife, 1}} {
		c.clock.add(step.passes)
		c.wantSum(step.want)
	}
	if n := c.status().Cluster.Nodes[0]; n.Counts || n.RemainingSeconds != 0 || n.Name != "node-2" {
		t.Errorf("a silent node is shown as %+v", n)
	}
	c.reports(second, 2)
	c.wantSum(3)
	c.clock.jump(365 * 24 * time.Hour) // a clock that is wrong makes no node silent
	c.wantSum(3)
	c.must(c.RemoveNode(t.Context(), "node-2"))
	c.wantSum(1)
	wantCode(t, c.RemoveNode(t.Context(), "node-2"), "no-node")
}

func TestMembersDoNoLicensing(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	second := c.join("node-2")
	ctx := t.Context()
	_, deregister := second.Deregister(ctx)
	for name, err := range map[string]error{
		"register": second.Register(ctx, c.desk.token(), false), "renew": second.RenewIdentity(ctx), "deregister": deregister,
		"transport": second.SetTransport(ctx, "https://licenses.example"), "privacy": second.SetPrivacy(ctx, Privacy{}),
		"hold": second.HoldCluster(ctx, "x", ":1", "x:1"),
	} {
		wantCode(t, err, "cluster-member")
		if err != nil && !strings.Contains(err.Error(), "node-1") {
			t.Errorf("%s: %v does not name the holder", name, err)
		}
	}
	wantCode(t, second.AddInterval(ctx, Interval{Tag: "cms-smp-plus", From: start, To: start.Add(time.Hour), Peak: 1}), "cluster-member")
}

func TestHolderThatIsAwayTakesNothingAway(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	second := c.join("node-2")
	c.reports(second, 1)
	in, err := c.Invite(t.Context())
	c.must(err)
	var away Invitation
	c.must(json.Unmarshal(in, &away))
	away.Address = "127.0.0.1:1"
	raw, err := json.Marshal(away)
	c.must(err)
	before, err := second.Status(t.Context())
	c.must(err)
	st, _, err := second.load(t.Context())
	c.must(err)
	seen := st.Joined.Seen
	c.must(second.JoinCluster(t.Context(), raw, "node-2"))
	c.must(second.update(t.Context(), func(st *state, _ time.Time) error { st.Joined.Seen = seen; return nil }))
	if _, err := second.Report(t.Context()); err == nil || !strings.Contains(err.Error(), "node-1") {
		t.Errorf("a report to nobody: %v", err)
	}
	c.clock.add(200 * 24 * time.Hour)
	after, err := second.Status(t.Context())
	c.must(err)
	if after.Registration.Status != before.Registration.Status || after.Authorization.Status != before.Authorization.Status || after.Decision.Function != FullFunction {
		t.Errorf("without its holder a member shows %+v", after)
	}
	if after.Authorization.EvaluationSeconds != before.Authorization.EvaluationSeconds {
		t.Error("a member spends evaluation")
	}
	if after.Cluster.LastReport.Outcome != Failed {
		t.Errorf("the failed report is not shown: %+v", after.Cluster)
	}
}

func TestWhoIsNotInvitedIsNotHeard(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.use(1)
	in, err := c.Invite(t.Context())
	c.must(err)
	var good Invitation
	c.must(json.Unmarshal(in, &good))
	for name, change := range map[string]func(*Invitation){
		"another secret":      func(i *Invitation) { i.Secret = strings.Repeat("0", 64) },
		"another certificate": func(i *Invitation) { i.Certificate = trust.Fingerprint{1} },
	} {
		second := c.join("node-2")
		bad := good
		change(&bad)
		c.must(second.update(t.Context(), func(st *state, _ time.Time) error { st.Joined.Invitation = bad; return nil }))
		c.must(second.SetUsage(t.Context(), "cms-smp-plus", 5))
		if _, err := second.Report(t.Context()); err == nil {
			t.Errorf("%s: the report was taken", name)
		}
	}
	c.wantSum(1)
	c.reports(c.join("node-2"), 1)
	twin := c.join("node-2")
	_, err = twin.Report(t.Context())
	wantCode(t, err, "node-name-taken")
	invitation, err := c.Invite(t.Context())
	c.must(err)
	other := newProduct(t, 0)
	other.register()
	wantCode(t, other.JoinCluster(t.Context(), invitation, "node-9"), "registered")
	wantCode(t, c.JoinCluster(t.Context(), invitation, "node-9"), "is-holder")
	wantCode(t, twin.JoinCluster(t.Context(), []byte("{}"), "node-2"), "bad-invitation")
	wantCode(t, twin.JoinCluster(t.Context(), invitation, "node 2"), "bad-node-name")
	_, err = c.LeaveCluster(t.Context(), false)
	wantCode(t, err, "has-members")
	_, err = c.LeaveCluster(t.Context(), true)
	c.must(err)
	c.wantSum(1)
}
