package api

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Policy decides which license a meeting takes.
type Policy struct {
	Name    string            `json:"name" doc:"owner-first or member-first."`
	Version int               `json:"version" doc:"Changes with every change of what the policy decides."`
	Options map[string]string `json:"options" doc:"Every option with its value."`
	Text    string            `json:"text" doc:"Name, version and the options that differ from the default, as meetings keep it."`
}

// BridgePolicy is the policy in force for a bridge, or for all bridges without one of their own.
type BridgePolicy struct {
	Bridge     string     `json:"bridge,omitempty" doc:"Id of the bridge; absent for all bridges without a policy of their own."`
	BridgeName string     `json:"bridgeName,omitempty" doc:"Name of the bridge."`
	Policy     Policy     `json:"policy" doc:"The policy."`
	Own        bool       `json:"own" doc:"Whether it was set here; otherwise it is that of all bridges, or the default."`
	Version    int64      `json:"version,omitempty" doc:"Version of directory and policies from which it holds; absent for always."`
	SetAt      *time.Time `json:"setAt,omitempty" doc:"When it was set."`
	SetBy      string     `json:"setBy,omitempty" doc:"Id of the key that set it."`
	Unchanged  bool       `json:"unchanged,omitempty" doc:"In the answer to a change: it was in force already."`
}

// NewPolicy says which policy is to be in force.
type NewPolicy struct {
	Bridge  string            `json:"bridge,omitempty" doc:"Id or name of the bridge; all bridges without a policy of their own when left out."`
	Name    string            `json:"name" doc:"owner-first or member-first."`
	Options map[string]string `json:"options,omitempty" doc:"Options that differ from the default."`
}

// PolicyOption describes one option of the policies.
type PolicyOption struct {
	Key     string   `json:"key" doc:"Name of the option."`
	Values  []string `json:"values,omitempty" doc:"What it may be; absent for a list of sign-in names."`
	Default string   `json:"default" doc:"Its value unless another one is chosen."`
	Doc     string   `json:"doc" doc:"What it decides."`
}

// Policies lists the policy for all bridges and then that of each bridge, by name.
func (c *Client) Policies(ctx context.Context, account string) iter.Seq2[BridgePolicy, error] {
	return pages[BridgePolicy](ctx, c, at("accounts", account, "conference", "policies"), nil)
}

// SetPolicy puts a policy in force for the meetings that begin afterwards.
func (c *Client) SetPolicy(ctx context.Context, account string, p NewPolicy) (BridgePolicy, error) {
	return write[BridgePolicy](ctx, c, http.MethodPut, at("accounts", account, "conference", "policies"), p)
}

// PolicyOptions lists the options that policies have.
func (c *Client) PolicyOptions(ctx context.Context, account string) iter.Seq2[PolicyOption, error] {
	return pages[PolicyOption](ctx, c, at("accounts", account, "conference", "policies", "options"), nil)
}

// Question is a meeting that has not taken place. One of Space, AdHoc, Booking, Gateway and Lync says what kind it is; a
// booking may be in a space.
type Question struct {
	Space        string
	Owner        string
	AdHoc        string
	Booking      string
	Gateway      bool
	Lync         bool
	Members      []string
	Participants int
	Audio        bool
	Bridge       string
	Policy       string
	Options      map[string]string
}

// Decision is what a meeting would take under one policy.
type Decision struct {
	Policy           Policy   `json:"policy" doc:"The policy."`
	InForce          bool     `json:"inForce" doc:"Whether it is the policy that decides now, with these options."`
	DirectoryVersion int64    `json:"directoryVersion" doc:"Version of the directory that was asked; 0 for none."`
	License          string   `json:"license" doc:"Name of the license."`
	Tag              string   `json:"tag" doc:"License tag."`
	Sixths           int64    `json:"sixths" doc:"How many sixths of a license it takes."`
	User             string   `json:"user,omitempty" doc:"JID of who is charged; absent for a shared license."`
	Rule             string   `json:"rule" doc:"Rule of the policy that decided."`
	Diagnosis        string   `json:"diagnosis,omitempty" doc:"Why no personal license pays, in one word: service-account, other-directory, ambiguous-owner, e-mail-not-compared, owner-without-license, owner-unknown, call-control-too-old, no-owner-passed or no-member-with-license."`
	Why              []Reason `json:"why" nullable:"false" doc:"The facts that decided: at most 10."`
	More             int      `json:"more,omitempty" doc:"How many reasons were left out."`
}

// Ask decides a meeting without a call, under each policy, the one in force first.
func (c *Client) Ask(ctx context.Context, account string, q Question) (List[Decision], error) {
	v := url.Values{}
	for key, value := range map[string]string{"space": q.Space, "owner": q.Owner, "adhoc": q.AdHoc, "booking": q.Booking, "bridge": q.Bridge, "policy": q.Policy} {
		if value != "" {
			v.Set(key, value)
		}
	}
	for key, on := range map[string]bool{"gateway": q.Gateway, "lync": q.Lync, "audio": q.Audio} {
		if on {
			v.Set(key, "true")
		}
	}
	if q.Participants > 0 {
		v.Set("participants", strconv.Itoa(q.Participants))
	}
	v["member"] = q.Members
	for key, value := range q.Options {
		v.Add("option", key+"="+value)
	}
	return get[List[Decision]](ctx, c, at("accounts", account, "conference", "ask"), v)
}
