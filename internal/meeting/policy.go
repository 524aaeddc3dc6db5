package meeting

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Policy is a rule set with its options; OwnerFirst, MemberFirst and Named make one. Its version changes with every change
// of what it decides, so that a stored decision says by which rules it was made.
// Policies are compared with ==.
type Policy struct {
	Name    string
	Version int
	Options Options
}

// The names of policies.
const (
	NameOwnerFirst  = "owner-first"
	NameMemberFirst = "member-first"
)

// OwnerFirst returns the default policy: the owner of the space pays with a
// personal license, present or not; else the one whom call control or a
// scheduler names; else the meeting takes a shared license (domain rules 13
// and 14). Version 1 knew the owner of the space only.
func OwnerFirst() Policy { return Policy{NameOwnerFirst, 2, DefaultOptions()} }

// MemberFirst returns the older policy of call bridges 2.0: a participant who
// joined pays with a personal license, else the owner of the space, else the
// meeting takes a shared license (domain rule 15).
func MemberFirst() Policy { return Policy{NameMemberFirst, 1, DefaultOptions()} }

// Policies returns all of them, with their default options; the default one first.
func Policies() []Policy { return []Policy{OwnerFirst(), MemberFirst()} }

// Options are the choices that a policy leaves. OptionList says what they mean.
type Options struct {
	SchedulerEmail  bool
	SpacePairs      bool
	AudioWhole      bool
	SecondShared    bool
	LyncMode        string
	ServiceAccounts string // comma-separated sign-in names, sorted, as UserID writes them
}

// The ways in which calls of type lyncConferencing are connected.
const (
	LyncGateway    = "gateway"
	LyncCluster    = "dualHomeCluster"
	LyncCallBridge = "dualHomeCallBridge"
)

// DefaultOptions returns the options that hold unless somebody chose others.
func DefaultOptions() Options { return Options{LyncMode: LyncCluster} }

// Option describes one option of the policies.
type Option struct {
	Key     string
	Values  []string // what it may be; empty for a list of names
	Default string
	Doc     string

	get func(Options) string
	set func(*Options, string)
}

// OptionList returns the options in the order in which they are shown.
func OptionList() []Option {
	return []Option{
		{"scheduler-email", []string{"off", "on"}, "off",
			"Whether the owner whom a scheduler passes is also looked for by e-mail address, after sign-in name and JID.",
			func(o Options) string { return pick(o.SchedulerEmail, "off", "on") }, func(o *Options, v string) { o.SchedulerEmail = v == "on" }},
		{"space-point-to-point", []string{"off", "on"}, "off",
			"Whether at most two participants in a space take one sixth, as they do in a call without a space.",
			func(o Options) string { return pick(o.SpacePairs, "off", "on") }, func(o *Options, v string) { o.SpacePairs = v == "on" }},
		{"audio-only", []string{"sixth", "whole"}, "sixth",
			"What a shared license gives to a meeting while all of its legs have sound only. That is known when they have ended; a leg that runs counts as one with a picture.",
			func(o Options) string { return pick(o.AudioWhole, "sixth", "whole") }, func(o *Options, v string) { o.AudioWhole = v == "whole" }},
		{"second-meeting", []string{"personal", "shared"}, "personal",
			"What a second meeting takes while the first one of the same personal license runs: that license too, and both are flagged; or a shared one.",
			func(o Options) string { return pick(o.SecondShared, "personal", "shared") }, func(o *Options, v string) { o.SecondShared = v == "shared" }},
		{"lync-mode", []string{LyncCluster, LyncGateway, LyncCallBridge}, LyncCluster,
			"How Lync and Skype for Business meetings are connected, as the call bridge's lyncConferenceMode says: one shared license for the cluster, one sixth for each SIP participant, or one for each call bridge that calls out.",
			func(o Options) string { return o.LyncMode }, func(o *Options, v string) { o.LyncMode = v }},
		{"service-accounts", nil, "",
			"Sign-in names with which booking programs sign in, separated by commas. Such a name is not the person who booked and never pays.",
			func(o Options) string { return o.ServiceAccounts }, func(o *Options, v string) { o.ServiceAccounts = v }},
	}
}

func pick(b bool, no, yes string) string {
	if b {
		return yes
	}
	return no
}

// The errors of Check, With and ParsePolicy, wrapped with what they are about.
var (
	ErrUnknownPolicy = errors.New("no such policy")
	ErrUnknownOption = errors.New("no such option")
	ErrOptionValue   = errors.New("not a value of the option")
)

// Named returns the policy of that name in its present version, with default options.
func Named(name string) (Policy, error) {
	for _, p := range Policies() {
		if p.Name == name {
			return p, nil
		}
	}
	return Policy{}, fmt.Errorf("policy %q: %w", name, ErrUnknownPolicy)
}

// Check returns nil if Decide knows p, else one of the errors above.
func (p Policy) Check() error {
	known, err := Named(p.Name)
	if err == nil && known.Version != p.Version {
		err = fmt.Errorf("policy %q version %d: %w", p.Name, p.Version, ErrUnknownPolicy)
	}
	if err != nil {
		return err
	}
	for _, o := range OptionList() {
		if known, err = known.With(o.Key, o.get(p.Options)); err != nil {
			return err
		}
	}
	if known != p {
		return fmt.Errorf("option %q: %w", "service-accounts", ErrOptionValue)
	}
	return nil
}

const maxServiceAccounts = 1024 // bytes

// With returns the policy with one option changed.
func (p Policy) With(key, value string) (Policy, error) {
	for _, o := range OptionList() {
		if o.Key != key {
			continue
		}
		if o.Values == nil {
			value = accounts(value)
		}
		if o.Values != nil && !slices.Contains(o.Values, value) || len(value) > maxServiceAccounts || strings.ContainsFunc(value, unprintable) {
			return p, fmt.Errorf("option %q, value %.200q: %w", key, value, ErrOptionValue)
		}
		o.set(&p.Options, value)
		return p, nil
	}
	return p, fmt.Errorf("option %.200q: %w", key, ErrUnknownOption)
}

// accounts puts a list of sign-in names into the form in which it is kept.
func accounts(list string) string {
	names := []string{}
	for name := range strings.SplitSeq(list, ",") {
		if name = UserID(name); name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ",")
}

func unprintable(r rune) bool { return r <= ' ' || r == 0x7f || r == 0xfffd }

// isServiceAccount reports whether a sign-in name is that of a booking program.
func (o *Options) isServiceAccount(id string) bool {
	if o.ServiceAccounts == "" || id == "" {
		return false
	}
	for name := range strings.SplitSeq(o.ServiceAccounts, ",") {
		if name == id {
			return true
		}
	}
	return false
}

// Values returns the options as text, by their keys.
func (p Policy) Values() map[string]string {
	out := map[string]string{}
	for _, o := range OptionList() {
		out[o.Key] = o.get(p.Options)
	}
	return out
}

// String prints name, version, and the options that differ from the default:
// "owner-first 2 audio-only=whole". ParsePolicy reads it.
func (p Policy) String() string {
	var b strings.Builder
	b.WriteString(p.Name)
	b.WriteByte(' ')
	b.WriteString(strconv.Itoa(p.Version))
	for _, o := range OptionList() {
		if v := o.get(p.Options); v != o.Default {
			fmt.Fprintf(&b, " %s=%s", o.Key, v)
		}
	}
	return b.String()
}

// ParsePolicy reads what String prints. Of a version that Decide does not know
// it keeps name, version and the options that there are; Check refuses it.
func ParsePolicy(text string) (Policy, error) {
	words := strings.Split(text, " ")
	if len(words) < 2 {
		return Policy{}, fmt.Errorf("policy %.200q: %w", text, ErrUnknownPolicy)
	}
	version, err := strconv.Atoi(words[1])
	if err != nil || words[0] == "" {
		return Policy{}, fmt.Errorf("policy %.200q: %w", text, ErrUnknownPolicy)
	}
	p := Policy{words[0], version, DefaultOptions()}
	for _, word := range words[2:] {
		key, value, _ := strings.Cut(word, "=")
		if p, err = p.With(key, value); err != nil {
			return Policy{}, err
		}
	}
	return p, nil
}

// policyJSON is a policy as JSON, with every option.
type policyJSON struct {
	Name    string            `json:"name"`
	Version int               `json:"version"`
	Options map[string]string `json:"options"`
}

// MarshalJSON implements json.Marshaler.
func (p Policy) MarshalJSON() ([]byte, error) {
	return json.Marshal(policyJSON{p.Name, p.Version, p.Values()})
}

// UnmarshalJSON implements json.Unmarshaler. Options that are missing have
// their default; unknown ones are an error.
func (p *Policy) UnmarshalJSON(doc []byte) error {
	var in policyJSON
	if err := json.Unmarshal(doc, &in); err != nil {
		return fmt.Errorf("read policy: %w", err)
	}
	out := Policy{in.Name, in.Version, DefaultOptions()}
	for key, value := range in.Options {
		var err error
		if out, err = out.With(key, value); err != nil {
			return err
		}
	}
	*p = out
	return nil
}
