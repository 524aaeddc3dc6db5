package agent

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

// The way between the nodes of a cluster: HTTPS with a certificate that the holder made itself and that members know by its
// fingerprint; the invitation's secret proves the member. One request, POST /cluster/v1/report.

const (
	clusterPath = "/cluster/v1/report"
	// maxReport and maxShown bound a report and its answer in bytes.
	maxReport = 32 << 10
	maxShown  = 256 << 10
	// maxReports bounds the reports that the holder works on at the same time.
	maxReports = 16
)

// nodeReport is what a member tells its holder.
type nodeReport struct {
	ID    string           `json:"id"`
	Node  string           `json:"node"`
	Usage map[string]int64 `json:"usage"`
	// Leaves says that the node is no longer a member.
	Leaves bool `json:"leaves,omitempty"`
}

// check bounds a report.
func (r nodeReport) check() error {
	if len(r.ID) < 16 || len(r.ID) > 64 || len(r.Usage) > wire.MaxUsageTags {
		return license.Refuse(license.KindInvalid, "malformed", "update the agent of this node", "the report of the node is not of the documented form")
	}
	if err := checkNode(r.Node); err != nil {
		return err
	}
	for tag, n := range r.Usage {
		if err := checkCount(tag, n); err != nil {
			return err
		}
	}
	return nil
}

// nodeAnswer is what the holder answers.
type nodeAnswer struct {
	Status Status  `json:"status"`
	Answer *Answer `json:"answer,omitempty"`
}

// ClusterAddress is where the holder is to listen for its members; empty on a product that holds no cluster.
func (a *Agent) ClusterAddress(ctx context.Context) (string, error) {
	st, _, err := a.load(ctx)
	if err != nil || st.Holding == nil {
		return "", err
	}
	return st.Holding.Listen, nil
}

// ServeCluster answers the members of the cluster that this product holds, until ctx ends, and then returns nil. It closes l.
func (a *Agent) ServeCluster(ctx context.Context, l net.Listener) error {
	st, _, err := a.load(ctx)
	if err == nil && st.Holding == nil {
		err = license.Refuse(license.KindRefused, "no-cluster", "make it the holder first: tally-agent cluster hold", "this product holds no cluster")
	}
	if err != nil {
		return errors.Join(err, l.Close())
	}
	pair, err := trust.NodePair(st.Holding.Key, st.Holding.Cert)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	room := make(chan struct{}, maxReports)
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+clusterPath, func(w http.ResponseWriter, r *http.Request) {
		select {
		case room <- struct{}{}:
			defer func() { <-room }()
			a.serveMember(w, r)
		default:
			w.Header().Set("Retry-After", "5")
			http.Error(w, "busy", http.StatusServiceUnavailable)
		}
	})
	server := &http.Server{
		Handler: mux, TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}, ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 8 << 10,
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}, // one small request at a time needs no HTTP/2
	}
	ended := make(chan error, 1)
	go func() { ended <- server.ServeTLS(l, "", "") }() // ends with the server
	select {
	case err := <-ended:
		return fmt.Errorf("serve the cluster: %w", err)
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(last); err != nil {
		_ = server.Close()
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the cluster: %w", err)
	}
	return nil
}

// serveMember takes one report. Who has not the secret learns nothing.
func (a *Agent) serveMember(w http.ResponseWriter, r *http.Request) {
	answer, err := a.member(r)
	if e := license.AsError(err); e != nil {
		status := http.StatusBadRequest
		switch e.Kind {
		case license.KindUnknown:
			status = http.StatusUnauthorized
		case license.KindConflict:
			status = http.StatusConflict
		case license.KindTooLarge:
			status = http.StatusRequestEntityTooLarge
		case license.KindRefused:
			status = http.StatusUnprocessableEntity
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{"status": status, "code": e.Code, "detail": e.Message, "hint": e.Hint}) // the caller may be gone
		return
	}
	if err != nil {
		a.opts.Logger.ErrorContext(r.Context(), "a report of a node was not taken", "error", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // the caller may be gone
}

func (a *Agent) member(r *http.Request) (nodeAnswer, error) {
	st, _, err := a.load(r.Context())
	if err != nil {
		return nodeAnswer{}, err
	}
	secret, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || st.Holding == nil || !st.Holding.sameSecret(secret) {
		return nodeAnswer{}, license.Refuse(license.KindUnknown, "not-invited", "join again with a new invitation of this holder", "this node is not invited to the cluster")
	}
	var report nodeReport
	dec := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxReport))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&report); err != nil {
		return nodeAnswer{}, license.Refuse(license.KindInvalid, "malformed", "update the agent of this node", "the report of the node is not of the documented form: %v", err)
	}
	if err := report.check(); err != nil {
		return nodeAnswer{}, err
	}
	var answer nodeAnswer
	err = a.update(r.Context(), func(st *state, now time.Time) error {
		if st.Holding == nil {
			return license.Refuse(license.KindUnknown, "not-invited", "join another holder", "this product holds no cluster any more")
		}
		if err := st.take(report, now); err != nil {
			return err
		}
		answer = nodeAnswer{Status: st.show(), Answer: st.Answer}
		answer.Status.Cluster = nil // what the other members use is no business of this one
		return nil
	})
	return answer, err
}

// askHolder sends a report to the holder and brings its answer. What keeps it from coming through is *Unreachable, what the
// holder refuses *Error.
func (a *Agent) askHolder(ctx context.Context, j joined, report nodeReport) (nodeAnswer, error) {
	body, err := json.Marshal(report)
	if err != nil {
		return nodeAnswer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, exchangeLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+j.Address+clusterPath, bytes.NewReader(body))
	if err != nil {
		return nodeAnswer{}, fmt.Errorf("report to the holder: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+j.Secret)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trust.NodeTLS(j.Certificate), DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return nodeAnswer{}, &Unreachable{Err: fmt.Errorf("the node %s: %w", j.Holder, err)}
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxShown))
	if err != nil {
		return nodeAnswer{}, &Unreachable{Err: err}
	}
	if resp.StatusCode != http.StatusOK {
		var p struct{ Code, Detail, Hint string }
		if json.Unmarshal(raw, &p) == nil && p.Code != "" {
			return nodeAnswer{}, &Error{Kind: kindOf(resp.StatusCode), Code: oneLine(p.Code), Message: oneLine(p.Detail), Hint: oneLine(p.Hint)}
		}
		return nodeAnswer{}, &Unreachable{Err: fmt.Errorf("the node %s answered %s", j.Holder, resp.Status)}
	}
	var answer nodeAnswer
	if err := json.Unmarshal(raw, &answer); err != nil {
		return nodeAnswer{}, fmt.Errorf("answer of the node %s: %w", j.Holder, err)
	}
	return answer, nil
}

// reportToHolder is the report of a member.
func (a *Agent) reportToHolder(ctx context.Context, st *state) (Answer, error) {
	j, usage := *st.Joined, st.Usage
	report := nodeReport{ID: j.ID, Node: j.Node, Usage: map[string]int64{}}
	for tag, n := range usage {
		report.Usage[string(tag)] = n
	}
	answer, cause := a.askHolder(ctx, j, report)
	err := a.update(context.WithoutCancel(ctx), func(st *state, now time.Time) error {
		if st.Joined == nil || st.Joined.ID != j.ID {
			return nil
		}
		to := *st.Joined
		if cause != nil {
			to.Last, to.Wake = attempt{At: now, Reason: oneLine(reason(cause))}, now.Add(memberAgain)
		} else {
			next := memberEvery
			if !sameUsage(to.Sent, usage) {
				next = memberSoon
			}
			to.Last, to.Wake, to.Sent, to.Seen, to.Answer = attempt{At: now}, now.Add(next), usage, &answer.Status, answer.Answer
		}
		st.Joined = &to
		return nil
	})
	if err := errors.Join(cause, err); err != nil {
		return Answer{}, err
	}
	if answer.Answer == nil {
		return Answer{Status: answer.Status.Authorization.Status, At: a.now(), Account: answer.Status.Registration.Account}, nil
	}
	return *answer.Answer, nil
}
