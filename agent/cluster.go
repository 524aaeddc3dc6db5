package agent

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

// A product cluster: one node, the holder, holds the identity and talks to the authority; the others, its members, tell it
// what they use and learn from it how things stand. The holder reports the sum.

const (
	// NodeLife is how long the last report of a member that is silent counts: time that certainly passed on the holder.
	NodeLife = 72 * time.Hour
	// memberEvery is how often a member reports when nothing changed.
	memberEvery = 5 * time.Minute
	// memberAgain is how long a member waits after a report that did not come through.
	memberAgain = 30 * time.Second
	// memberSoon is how long a member waits for the outcome of a use that has changed, holderPause how far apart the holder
	// reports such changes at least.
	memberSoon  = 10 * time.Second
	holderPause = time.Minute
	// maxNodes bounds the members of a holder.
	maxNodes = 64
	// maxInvitation bounds an invitation in bytes.
	maxInvitation = 4 << 10
)

// The roles of a node.
const (
	RoleHolder = "holder"
	RoleMember = "member"
)

// holding is what the holder of a cluster keeps.
type holding struct {
	Name    string            `json:"name"`
	Listen  string            `json:"listen"`
	Address string            `json:"address"`
	Secret  string            `json:"secret"`
	Key     []byte            `json:"key"`         // PEM
	Cert    []byte            `json:"certificate"` // DER, made by itself and known by its fingerprint
	Nodes   map[string]member `json:"nodes,omitempty"`
	// Own is what the holder itself uses; the state's usage is the sum.
	Own map[license.Tag]int64 `json:"own,omitempty"`
}

// member is a member as the holder knows it.
type member struct {
	Name  string                `json:"name"`
	Usage map[license.Tag]int64 `json:"usage,omitempty"`
	At    time.Time             `json:"at"`
	// Passed is the clock's count at the last report.
	Passed time.Duration `json:"passed"`
}

// joined is what a member keeps of its holder.
type joined struct {
	Invitation
	ID   string  `json:"id"`
	Node string  `json:"node"`
	Last attempt `json:"last,omitzero"`
	// Wake is when the next report is due.
	Wake time.Time `json:"wake,omitzero"`
	// Sent is what the holder has heard; nil before the first time.
	Sent map[license.Tag]int64 `json:"sent,omitempty"`
	// Seen is what the holder showed last.
	Seen *Status `json:"seen,omitempty"`
	// Answer is the authority's last answer to the holder.
	Answer *Answer `json:"answer,omitempty"`
}

// Invitation lets another node join: whoever has it may report as a member of the cluster, so it is a secret.
type Invitation struct {
	Version int    `json:"version"`
	Holder  string `json:"holder"`
	Address string `json:"address"`
	// Certificate is the fingerprint of the holder's certificate; Secret proves the member.
	Certificate trust.Fingerprint `json:"certificate"`
	Secret      string            `json:"secret"`
}

// ClusterStatus is the place of a product in its cluster. Its JSON form is a contract.
type ClusterStatus struct {
	// Role is holder or member.
	Role string `json:"role"`
	// Node is the name of this node, Holder that of the one that holds the identity, Address where it listens.
	Node    string `json:"node"`
	Holder  string `json:"holder"`
	Address string `json:"address"`
	// Nodes are the members, on the holder.
	Nodes []NodeStatus `json:"nodes,omitempty"`
	// LastReport and NextReport are those of a member to its holder.
	LastReport Attempt   `json:"lastReport,omitzero"`
	NextReport time.Time `json:"nextReport,omitzero"`
}

// NodeStatus is a member as its holder sees it.
type NodeStatus struct {
	Name    string           `json:"name"`
	HeardAt time.Time        `json:"heardAt"`
	Usage   map[string]int64 `json:"usage,omitempty"`
	// Counts says that the last report still counts, RemainingSeconds for how much longer if the node stays silent.
	Counts           bool  `json:"counts"`
	RemainingSeconds int64 `json:"remainingSeconds"`
}

// HoldCluster makes this product the holder of a cluster under a name, listening for members at listen, which they reach at
// address. It is refused on a member. Called again it changes name and addresses; certificate, secret and members stay.
func (a *Agent) HoldCluster(ctx context.Context, name, listen, address string) error {
	if err := checkNode(name); err != nil {
		return err
	}
	for _, hostPort := range []string{listen, address} {
		if _, port, err := net.SplitHostPort(hostPort); err != nil || port == "" {
			return license.Refuse(license.KindInvalid, "bad-cluster-address", "write host and port, such as node-1.example:4712", "%.200q is no address with a port", hostPort)
		}
	}
	return a.update(ctx, func(st *state, now time.Time) error {
		if err := st.alone(); err != nil {
			return err
		}
		if st.Holding == nil {
			key, cert, err := trust.NewNodeCertificate(now)
			if err != nil {
				return fmt.Errorf("hold a cluster: %w", err)
			}
			st.Holding = &holding{Key: key, Cert: cert, Secret: newNonce() + newNonce(), Own: maps.Clone(st.Usage)}
		}
		h := st.Holding
		h.Name, h.Listen, h.Address = name, listen, address
		return nil
	})
}

func checkNode(name string) error {
	bad := strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
	})
	if name == "" || len(name) > 63 || bad {
		return license.Refuse(license.KindInvalid, "bad-node-name", "use letters, digits, dots, dashes and underscores, at most 63", "%.100q is no name of a node", name)
	}
	return nil
}

// Invite returns an invitation, which is a file of one JSON document, for nodes to join.
func (a *Agent) Invite(ctx context.Context) ([]byte, error) {
	st, _, err := a.load(ctx)
	if err != nil {
		return nil, err
	}
	if st.Holding == nil {
		return nil, license.Refuse(license.KindRefused, "no-cluster", "make it the holder first: tally-agent cluster hold", "this product holds no cluster")
	}
	h := st.Holding
	in := Invitation{Version: 1, Holder: h.Name, Address: h.Address, Certificate: trust.Of(h.Cert), Secret: h.Secret}
	raw, err := json.MarshalIndent(in, "", "  ") //nolint:gosec // the secret is what an invitation is for
	return append(raw, '\n'), err
}

// JoinCluster makes this product a member under a name of its own, by an invitation of the holder. It is refused while the
// product is registered, and it is not checked here whether the holder can be reached: Report does that.
func (a *Agent) JoinCluster(ctx context.Context, invitation []byte, name string) error {
	if err := checkNode(name); err != nil {
		return err
	}
	var in Invitation
	if len(invitation) > maxInvitation || json.Unmarshal(invitation, &in) != nil || in.Version != 1 || in.Address == "" || in.Secret == "" || in.Holder == "" {
		return license.Refuse(license.KindInvalid, "bad-invitation", "make one on the holder: tally-agent cluster invite", "this is no invitation to a cluster")
	}
	if in.Holder == name {
		return license.Refuse(license.KindInvalid, "bad-node-name", "give each node a name of its own", "the holder itself is called %s", name)
	}
	return a.update(ctx, func(st *state, now time.Time) error {
		switch {
		case st.Holding != nil:
			return license.Refuse(license.KindRefused, "is-holder", "leave the cluster that it holds first: tally-agent cluster leave", "this product holds a cluster itself")
		case st.Identity != nil || st.Asked != nil:
			return license.Refuse(license.KindRefused, "registered", "deregister it first; the holder's registration counts for all", "this product has a registration of its own")
		}
		id := newNonce()
		if st.Joined != nil && st.Joined.Certificate == in.Certificate {
			id = st.Joined.ID // the same cluster again: not a second node there
		}
		st.Joined = &joined{Invitation: in, ID: id, Node: name, Wake: now}
		return nil
	})
}

// LeaveCluster makes the product one of its own again. A member gives its use up at the holder; told says whether that heard
// of it, otherwise it forgets the node after NodeLife. The holder of members is refused without force.
func (a *Agent) LeaveCluster(ctx context.Context, force bool) (told bool, err error) {
	st, _, err := a.load(ctx)
	if err != nil {
		return false, err
	}
	if st.Joined != nil {
		_, err := a.askHolder(ctx, *st.Joined, nodeReport{ID: st.Joined.ID, Node: st.Joined.Node, Leaves: true})
		if err != nil {
			a.opts.Logger.WarnContext(ctx, "left the cluster; the holder did not hear of it", "holder", st.Joined.Holder, "error", err)
		}
		return err == nil, a.update(context.WithoutCancel(ctx), func(st *state, _ time.Time) error {
			st.Joined = nil
			return nil
		})
	}
	return true, a.update(ctx, func(st *state, _ time.Time) error {
		h := st.Holding
		switch {
		case h == nil:
			return license.Refuse(license.KindRefused, "no-cluster", "nothing is to be done", "this product is in no cluster")
		case len(h.Nodes) > 0 && !force:
			return license.Refuse(license.KindRefused, "has-members", "let the members leave first, or end it with force: what they use is no longer reported", "%d nodes report through this product", len(h.Nodes))
		}
		h.Nodes = nil
		err := st.sum()
		st.Holding = nil
		return err
	})
}

// RemoveNode makes the holder forget a member by its name, at once and not after NodeLife. A member that is still at work
// comes back with its next report.
func (a *Agent) RemoveNode(ctx context.Context, name string) error {
	return a.update(ctx, func(st *state, _ time.Time) error {
		if st.Holding != nil {
			for id, n := range st.Holding.Nodes {
				if n.Name == name {
					delete(st.Holding.Nodes, id)
					return st.sum()
				}
			}
		}
		return license.Refuse(license.KindNotFound, "no-node", "tally-agent cluster status shows the nodes", "no node %.100q reports through this product", name)
	})
}

// alone refuses licensing verbs on a member, and names the node that does them.
func (st *state) alone() error {
	if st.Joined == nil {
		return nil
	}
	return license.Refuse(license.KindRefused, "cluster-member", "do it on the node "+st.Joined.Holder+", at "+st.Joined.Address,
		"this node is a member of a cluster: licensing is done on the node %s, which holds the identity", st.Joined.Holder)
}

// mayLicense is alone for verbs that begin with something else than a change of the state.
func (a *Agent) mayLicense(ctx context.Context) error {
	st, _, err := a.load(ctx)
	if err != nil {
		return err
	}
	return st.alone()
}

// use says what this node itself uses.
func (st *state) use(counts map[string]int64) error {
	usage := st.Usage
	if st.Holding != nil {
		usage = st.Holding.Own
	}
	usage = maps.Clone(usage)
	if usage == nil {
		usage = map[license.Tag]int64{}
	}
	for tag, count := range counts {
		usage[license.Tag(tag)] = count
	}
	if len(usage) > wire.MaxUsageTags {
		return tooManyTags()
	}
	if st.Holding == nil {
		st.Usage = usage
		return nil
	}
	st.Holding.Own = usage
	return st.sum()
}

func tooManyTags() error {
	return license.Refuse(license.KindTooLarge, "too-many-tags", "give up a tag that is no longer used first", "a product reports at most %d tags", wire.MaxUsageTags)
}

// sum makes the usage of the holder that of the whole cluster. Tags that nobody uses any more stay with zero until that is
// reported.
func (st *state) sum() error {
	h := st.Holding
	if h == nil {
		return nil
	}
	usage := map[license.Tag]int64{}
	for tag := range st.Usage {
		usage[tag] = 0
	}
	add := func(counts map[license.Tag]int64) {
		for tag, n := range counts {
			usage[tag] = min(usage[tag]+n, license.MaxQuantity)
		}
	}
	add(h.Own)
	for _, n := range h.Nodes {
		if st.Clock.Passed-n.Passed < NodeLife {
			add(n.Usage)
		}
	}
	if len(usage) > wire.MaxUsageTags {
		return tooManyTags()
	}
	st.Usage = usage
	return nil
}

// aged forgets the members that have been silent for too long.
func (st *state) aged() {
	if st.Holding == nil {
		return
	}
	for _, n := range st.Holding.Nodes {
		if len(n.Usage) > 0 && st.Clock.Passed-n.Passed >= NodeLife {
			_ = st.sum() // there is nothing more in it than before
			return
		}
	}
}

// take is the holder's side of a report.
func (st *state) take(r nodeReport, now time.Time) error {
	h := st.Holding
	if r.Leaves {
		delete(h.Nodes, r.ID)
		return st.sum()
	}
	if r.Node == h.Name {
		return license.Refuse(license.KindConflict, "node-name-taken", "join again under another name", "the holder itself is called %s", r.Node)
	}
	for id, n := range h.Nodes {
		if n.Name == r.Node && id != r.ID {
			return license.Refuse(license.KindConflict, "node-name-taken", "join again under another name, or remove the old node on the holder: tally-agent cluster remove "+r.Node,
				"another node is called %s", r.Node)
		}
	}
	nodes := maps.Clone(h.Nodes)
	if nodes == nil {
		nodes = map[string]member{}
	}
	usage := map[license.Tag]int64{}
	for tag, n := range r.Usage {
		usage[license.Tag(tag)] = n
	}
	nodes[r.ID] = member{Name: r.Node, Usage: usage, At: now, Passed: st.Clock.Passed}
	if len(nodes) > maxNodes {
		return license.Refuse(license.KindTooLarge, "too-many-nodes", "remove nodes that are gone: tally-agent cluster remove NODE", "a cluster has at most %d members", maxNodes)
	}
	before := st.Usage
	h.Nodes = nodes
	if err := st.sum(); err != nil {
		return err
	}
	if !sameUsage(before, st.Usage) && st.Identity != nil {
		// The authority hears of it soon, but not of every step.
		soon := st.Authorization.Last.At.Add(holderPause)
		if soon.Before(now) {
			soon = now
		}
		if soon.Before(st.Authorization.Wake) {
			st.Authorization.Wake = soon
		}
	}
	return nil
}

// sameSecret compares without telling how much of it was right.
func (h *holding) sameSecret(secret string) bool {
	return subtle.ConstantTimeCompare([]byte(h.Secret), []byte(secret)) == 1
}

// showCluster is the place in the cluster; nil without one.
func (st *state) showCluster() *ClusterStatus {
	if j := st.Joined; j != nil {
		return &ClusterStatus{Role: RoleMember, Node: j.Node, Holder: j.Holder, Address: j.Address, LastReport: j.Last.show(), NextReport: j.Wake}
	}
	h := st.Holding
	if h == nil {
		return nil
	}
	s := &ClusterStatus{Role: RoleHolder, Node: h.Name, Holder: h.Name, Address: h.Address}
	for _, n := range h.Nodes {
		left := max(NodeLife-(st.Clock.Passed-n.Passed), 0)
		row := NodeStatus{Name: n.Name, HeardAt: n.At, Counts: left > 0, RemainingSeconds: int64(left / time.Second)}
		for tag, count := range n.Usage {
			if count > 0 {
				if row.Usage == nil {
					row.Usage = map[string]int64{}
				}
				row.Usage[string(tag)] = count
			}
		}
		s.Nodes = append(s.Nodes, row)
	}
	slices.SortFunc(s.Nodes, func(x, y NodeStatus) int { return strings.Compare(x.Name, y.Name) })
	return s
}

// asMember puts what the holder showed in the place of what a member cannot know; what the member itself uses stays.
func (st *state) asMember(s Status) Status {
	j := st.Joined
	if j == nil {
		return s
	}
	if j.Seen == nil {
		s.Decision = j.decide()
		return s
	}
	s.Transport, s.Route = j.Seen.Transport, j.Seen.Route
	s.Registration, s.Authorization, s.Decision = j.Seen.Registration, j.Seen.Authorization, j.decide()
	s.Findings = append(slices.Clone(s.Findings), j.Seen.Findings...)
	for i := range s.Licenses {
		l := &s.Licenses[i]
		l.Status = Waiting
		if k := slices.IndexFunc(j.Seen.Licenses, func(of License) bool { return of.Tag == l.Tag }); k >= 0 && j.Sent[license.Tag(l.Tag)] == l.Count {
			of := j.Seen.Licenses[k]
			l.Name, l.Status, l.Entitled, l.Shortage, l.Why = of.Name, of.Status, of.Entitled, of.Shortage, of.Why
		}
	}
	return s
}

// decide is the holder's last decision: a holder that is away takes nothing away, and neither does one that was never heard.
func (j *joined) decide() Decision {
	if j.Seen != nil {
		return j.Seen.Decision
	}
	return Decision{
		Policy: license.PolicyNone, Function: FullFunction, Status: license.StatusUnknown,
		Sentence: "Everything is allowed: the node " + j.Holder + ", which holds the identity, was not heard yet.",
		Next:     "Let this node reach " + j.Address + ", then: tally-agent report",
	}
}

// due says whether the member should report: regularly, and when its use has changed since a report that came through.
func (j *joined) due(st *state, now time.Time) bool {
	changed := j.Last.Reason == "" && !j.Last.At.IsZero() && !sameUsage(j.Sent, st.Usage)
	return changed || !now.Before(j.Wake) || now.Before(j.Last.At.Add(-time.Hour))
}
