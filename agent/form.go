package agent

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/wire"
)

// sealed is the kept form of anything: what it is under the checksum of its bytes, so that a damaged file is never taken for
// a good one.
type sealed struct {
	Version int             `json:"version"`
	Sum     string          `json:"sum"`
	State   json.RawMessage `json:"state"`
}

// The parts between those of the form, as sealForm writes them.
const (
	formVersion = "{\"version\":"
	formSum     = ",\n\"sum\":\""
	formState   = "\",\n\"state\":"
	formEnd     = "}\n"
)

// sealForm writes the kept form of a value.
func sealForm(version int, value any) ([]byte, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encode the state: %w", err)
	}
	sum := sha256.Sum256(raw)
	var b bytes.Buffer
	b.Grow(len(raw) + 128)
	fmt.Fprintf(&b, formVersion+"%d"+formSum+"%x"+formState, version, sum)
	b.Write(raw)
	b.WriteString(formEnd)
	return b.Bytes(), nil
}

// openForm reads it back; raw is what stood under the checksum.
func openForm(raw []byte) (version int, state []byte, err error) {
	f, ok := cutForm(raw)
	if !ok { // somebody has edited it
		if err := json.Unmarshal(raw, &f); err != nil {
			return 0, nil, err
		}
	}
	if f.Version < 2 {
		return f.Version, raw, nil // the first form had no checksum
	}
	if sum := sha256.Sum256(f.State); f.Sum != hex.EncodeToString(sum[:]) {
		return f.Version, nil, fmt.Errorf("its checksum is not that of its content")
	}
	return f.Version, f.State, nil
}

// cutForm takes apart what sealForm wrote, without reading the content twice.
func cutForm(raw []byte) (f sealed, ok bool) {
	head, rest, ok := bytes.Cut(raw[:min(len(raw), 128)], []byte(formState))
	if !ok || !bytes.HasSuffix(raw, []byte(formEnd)) {
		return f, false
	}
	version, sum, ok := strings.Cut(string(head), formSum)
	digits, found := strings.CutPrefix(version, formVersion)
	n, err := strconv.Atoi(digits)
	if !ok || !found || err != nil {
		return f, false
	}
	from := min(len(raw), 128) - len(rest)
	return sealed{Version: n, Sum: sum, State: raw[from : len(raw)-len(formEnd)]}, true
}

// decodeState reads kept bytes; none are an empty state. Damaged bytes are an error and never an empty state.
func decodeState(raw []byte) (*state, error) {
	if raw == nil {
		return &state{}, nil
	}
	version, inner, err := openForm(raw)
	if err != nil && (version == 0 || version == stateVersion) {
		return nil, damaged(err)
	}
	var st *state
	switch version {
	case 1:
		st, err = decodeFirst(inner)
	case stateVersion:
		st = &state{}
		err = json.Unmarshal(inner, st)
	default:
		return nil, license.Refuse(license.KindUnavailable, "state-version", "use the version of the agent that wrote it, or a newer one",
			"the kept state has version %d; this agent reads versions 1 to %d", version, stateVersion)
	}
	if err != nil {
		return nil, damaged(err)
	}
	if id := st.Identity; id != nil && len(id.Signer) < 2 {
		return nil, damaged(fmt.Errorf("it has no certificates"))
	}
	return st, nil
}

func damaged(err error) error {
	return &Error{
		Kind: license.KindUnavailable, Code: codeDamaged, Message: "the kept state is damaged",
		Hint: "put a saved copy of it in its place; without one, say again which product this is and register with force", Err: err,
	}
}

const codeDamaged = "state-damaged"

func (st *state) encode() ([]byte, error) { return sealForm(stateVersion, st) }

// decodeFirst reads version 1, whose members of the same name mean the same.
func decodeFirst(raw []byte) (*state, error) {
	st := &struct {
		*state
		// In place of those of the state, which have another form.
		Short      time.Time `json:"short"`
		URL        string    `json:"url"`
		Evaluation struct {
			Used time.Duration `json:"used"`
			Seen time.Time     `json:"seen"`
		} `json:"evaluation"`
		SkewMS int64 `json:"skewMs"`
	}{state: &state{}}
	if err := json.Unmarshal(raw, st); err != nil {
		return nil, err
	}
	next := st.state
	if st.URL != "" {
		next.Route = route{Kind: Direct, Address: st.URL}
	}
	seen, skew := st.Evaluation.Seen, time.Duration(st.SkewMS)*time.Millisecond
	if !seen.IsZero() {
		next.Clock = license.Clock{Time: seen.Add(skew), Wall: seen, Skew: skew}
	}
	if next.Answer != nil {
		next.Clock.Signed = next.Answer.ServerTime
	}
	if used := st.Evaluation.Used; used > 0 {
		v := license.VersionEvaluation{Version: license.LicensedVersion(next.Product.Version), Tags: next.tags()}
		v.Used = used
		next.Evaluations = license.Evaluations{v}
	}
	if !st.Short.IsZero() {
		next.Short = (*statement)(nil).said(next.Clock, st.Short)
	}
	return next, nil
}

// productOf is a product as it is embedded, with what only the agent knows of it.
func (st *state) product() Product {
	p := st.Product
	return Product{
		Name: p.Name, PID: p.PID, Serial: p.Serial, Version: p.Version, Hostname: p.Hostname, LicensedVersion: st.Licensed, Policy: st.Policy,
	}
}

func (p Product) wire() wire.Product {
	return wire.Product{Name: p.Name, PID: p.PID, Serial: p.Serial, Version: p.Version, Hostname: p.Hostname}
}
