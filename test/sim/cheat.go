package sim

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tallystick/tallystick/agent"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/satellite"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

// cheats is whether the site's satellite runs another program, which has its keys and lies.
func (s *site) cheats() bool { return s.index%5 == 1 }

// willCheat is whether the site lies at the time now.
func (s *site) willCheat(now time.Time) bool { return s.cheats() && now.Sub(s.cheated) >= cheatEvery }

// cheatEvery is how often it lies; each time in the next way.
const cheatEvery = 40 * day

// trick is one way to cheat the authority: it bends what the satellite would have said. want is what the authority says of it: the code
// of a finding or of a refusal. last is the number of the file that the authority has taken last.
type trick struct {
	name, want string
	bend       func(s, victim *site, m *wire.SyncRequest, last int64)
}

var tricks = []trick{
	{"more arrived than was given", license.FactSyncMore, func(_, _ *site, m *wire.SyncRequest, _ int64) {
		for i := range m.Stock {
			m.Stock[i].Applied += 1000
			m.Stock[i].Held += 1000
		}
	}},
	{"an old number", wire.CodeSyncBehind, func(_, _ *site, m *wire.SyncRequest, last int64) { m.Exchange.Number = last - 1 }},
	{"the last number with other content", wire.CodeSyncBehind, func(_, _ *site, m *wire.SyncRequest, last int64) {
		m.Exchange.Number = last
		m.Exchange.Program = "other"
	}},
	{"the first number", wire.CodeSyncBehind, func(_, _ *site, m *wire.SyncRequest, _ int64) { m.Exchange.Number = 1 }},
	{"use in another satellite's virtual account", license.FactSyncForeign, func(_, victim *site, m *wire.SyncRequest, _ int64) {
		m.VAs = append(m.VAs, wire.SyncVA{ID: victim.va, Name: "mine"})
		m.Use = append(m.Use, wire.SyncUse{VA: victim.va, Tag: tag, Count: 500})
		for i := range m.Instances {
			m.Instances[i].VA = victim.va
		}
	}},
	{"stock of another satellite's virtual account", license.FactSyncForeign, func(_, victim *site, m *wire.SyncRequest, _ int64) {
		m.VAs = append(m.VAs, wire.SyncVA{ID: victim.va, Name: "mine"})
		for _, stock := range slices.Clone(m.Stock) {
			stock.VA, stock.Applied, stock.Burnt = victim.va, 500, 500
			m.Stock = append(m.Stock, stock)
		}
	}},
	{"the authority's name", license.FactSyncHost, func(_, _ *site, m *wire.SyncRequest, _ int64) {
		m.Exchange.Hosts = append(m.Exchange.Hosts, "authority.example")
	}},
	{"another satellite", "satellite-unknown", func(_, victim *site, m *wire.SyncRequest, _ int64) { m.Exchange.Satellite = victim.satellite }},
	{"another satellite's keys as its next ones", "bad-certificate-request", func(_, victim *site, m *wire.SyncRequest, _ int64) {
		m.Exchange.Certificate = victim.desk.Keys().SignerChain()[1]
		m.Exchange.CSR, _ = trust.NewCSR(trust.NewProductKey())
	}},
}

// cheat lies to the authority in one way, and to a product of another site in another. The authority has to say so, and what is known of
// every site has to be as it was.
func (s *site) cheat(ctx context.Context, t *top, sites []*site, all *Result) error {
	if len(sites) < 2 || !s.willCheat(s.now) {
		return nil
	}
	s.cheated = s.now
	victim := sites[(s.index+1+all.Cheats%(len(sites)-1))%len(sites)]
	how := tricks[s.lies%len(tricks)]
	s.lies++
	for range 2 { // the last file was answered, and new keys have spoken
		if _, err := s.exchange(ctx, t); err != nil {
			return err
		}
	}
	before, err := t.holdings(ctx, sites)
	if err != nil {
		return err
	}
	m, chain, err := s.honest(ctx)
	if err != nil {
		return err
	}
	row, err := t.sync.Show(ctx, t.who, t.account, s.name)
	if err != nil {
		return err
	}
	how.bend(s, victim, m, row.Number)
	reply, refused, err := s.say(ctx, t, m, chain)
	if err != nil {
		return err
	}
	all.Cheats++
	if !saysSo(reply, refused, how.want) {
		all.Unnoticed = append(all.Unnoticed, fmt.Sprintf("site %d: %s: %v", s.index, how.name, refused))
	}
	after, err := t.holdings(ctx, sites)
	if err != nil {
		return err
	}
	for i := range sites {
		if before[i] != after[i] {
			all.Unnoticed = append(all.Unnoticed, fmt.Sprintf("%s: the authority knows of site %d %s, and knew %s", how.name, i, after[i], before[i]))
		}
	}
	// A product of the victim meets this satellite where it looks for its own.
	for _, p := range victim.products {
		if p.joined && p.copies == 0 && p.way.desk == desk(victim) {
			mine, theirs := s.desk.Keys().SignerChain(), victim.desk.Keys().SignerChain()
			p.way.desk = &liar{
				keys: s.desk.Keys(), chains: [][][]byte{theirs, {mine[0], theirs[1], mine[1], mine[2]}, mine}, honest: victim, to: p, left: 3,
			}
			all.Lies += 3
			break
		}
	}
	_, err = s.exchange(ctx, t) // what it says next is true, so that nothing else is in doubt
	return err
}

// honest is what the satellite would say.
func (s *site) honest(ctx context.Context) (*wire.SyncRequest, [][]byte, error) {
	file, err := s.sync.Export(ctx, s.who, s.account, satellite.File)
	if err != nil {
		return nil, nil, err
	}
	chain := s.desk.Keys().SignerChain()
	e, err := trust.OpenAuthorityFile(file, []string{wire.KindSync}, wire.Audience, trust.Pins{Root: s.desk.Keys().Fingerprint(), Site: trust.AnySite, MaxBytes: satellite.MaxFile}, s.now)
	if err != nil {
		return nil, nil, err
	}
	m, err := wire.ParseSyncRequest(e.Payload)
	return m, chain, err
}

// say signs what the satellite says, and carries it.
func (s *site) say(ctx context.Context, t *top, m *wire.SyncRequest, chain [][]byte) (*wire.SyncAnswer, error, error) {
	text, err := m.Text()
	if err != nil {
		return nil, nil, err
	}
	file, err := s.desk.Keys().SealFile(trust.Header{Kind: wire.KindSync, Audience: wire.Audience, Number: m.Exchange.Number, Chain: chain}, text)
	if err != nil {
		return nil, nil, err
	}
	reply, refused := t.sync.Answer(ctx, file, satellite.File)
	if reply == nil {
		return nil, refused, nil
	}
	pins := trust.Pins{Root: s.desk.Keys().Fingerprint(), MaxBytes: satellite.MaxFile}
	e, err := trust.OpenAuthorityFile(reply, []string{wire.KindSynced}, m.Exchange.Account+"/"+m.Exchange.Satellite, pins, s.now)
	if err != nil {
		return nil, refused, err
	}
	answer, err := wire.ParseSyncAnswer(e.Payload)
	return answer, refused, err
}

// saysSo tells whether the authority refused with a code, or noted it.
func saysSo(reply *wire.SyncAnswer, refused error, code string) bool {
	if no := license.AsError(refused); no != nil {
		return no.Code == code
	}
	return reply != nil && slices.ContainsFunc(reply.Findings, func(f license.Fact) bool { return f.Code == code })
}

// holdings is what the authority knows of each site: what it has, and what its products use.
func (t *top) holdings(ctx context.Context, sites []*site) ([]string, error) {
	licenses, err := t.desk.Licenses(ctx, t.who, t.account, "")
	if err != nil {
		return nil, err
	}
	used := map[string]int64{}
	for _, l := range licenses {
		used[l.VirtualAccount] += l.InUse
	}
	out := make([]string, len(sites))
	for i, s := range sites {
		row, err := t.sync.Show(ctx, t.who, t.account, s.name)
		if err != nil {
			return nil, err
		}
		out[i] = fmt.Sprintf("%d given, %d used, site %s", row.Consigned+row.InTransit, used[s.name], row.Site)
		if s.cheats() { // what it says of its own products is measured by nobody else, and a lie may be the first that its next keys sign
			out[i] = fmt.Sprintf("%d given", row.Consigned+row.InTransit)
		}
	}
	return out, nil
}

// sumCheats looks whether a product believed what another site's satellite told it.
func (s *site) sumCheats(all *Result) {
	for _, p := range s.products {
		if l, met := p.way.desk.(*liar); met {
			if all.Told += 3 - l.left; l.believed {
				all.Unnoticed = append(all.Unnoticed, fmt.Sprintf("site %d, %s believed that it was removed", s.index, p.name))
			}
		}
	}
}

// liar is a satellite that answers in the place of another: it tells products that they were removed, by its own keys, by its own with the
// certificate of the other's in the chain, and by the other's name without its key. Then the other one answers again.
type liar struct {
	keys     *trust.Keys
	chains   [][][]byte // those that it told lies by, last first, as they were when it began
	honest   desk
	to       *product
	left     int
	believed bool
}

// Machine implements desk.
func (l *liar) Machine(ctx context.Context, verb string, envelope []byte) ([]byte, error) {
	if st, err := l.to.agent.Status(ctx); err == nil && l.left < 3 { // it has heard a lie since
		l.believed = l.believed || slices.ContainsFunc(st.Findings, func(f agent.Finding) bool { return f.Code == "removal-unconfirmed" })
	}
	h, err := trust.Peek(envelope)
	parts := bytes.Split(envelope, []byte("."))
	if l.left == 0 || err != nil || len(parts) != 3 || verb == "register" {
		return l.honest.Machine(ctx, verb, envelope)
	}
	payload, err := base64.RawURLEncoding.DecodeString(string(parts[1]))
	var asked struct{ Nonce string }
	if err := errors.Join(err, json.Unmarshal(payload, &asked)); err != nil {
		return nil, err
	}
	said, err := json.Marshal(wire.Refusal{Nonce: asked.Nonce, Code: wire.CodeRemoved, Message: "it was removed", ServerTime: time.Unix(1_900_000_000, 0)})
	if err != nil {
		return nil, err
	}
	l.left--
	chain := l.chains[l.left]
	_, instance, _ := bytes.Cut([]byte(h.KeyID), []byte("/"))
	return l.keys.Seal(trust.Header{Kind: wire.KindRefusal, Audience: string(instance), Number: h.Number, Chain: chain}, said), nil
}
