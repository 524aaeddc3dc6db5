package local

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tallystick/tallystick/agent"
	"github.com/tallystick/tallystick/internal/license"
)

// outcomeWait is how long a caller of the small interface waits for an exchange before it is told that it goes on: such
// callers ask for the status again and again.
const outcomeWait = 3 * time.Second

// Options are what a Face needs.
type Options struct {
	Agent *agent.Agent
	Log   *slog.Logger
	Now   func() time.Time
}

// Face serves one product to its own host. Safe for concurrent use.
type Face struct {
	Options
	mux *http.ServeMux
	// exchange holds one value while the small interface talks to the authority in the background.
	exchange chan struct{}
	work     sync.WaitGroup // ends with Close
	// hidden is the confirmation code that a caller of the small interface has taken note of.
	hidden atomic.Pointer[string]
	ctx    context.Context
	stop   context.CancelFunc
}

// New makes a face. It starts nothing; Close waits for what a caller began and did not wait for.
func New(o Options) *Face {
	f := &Face{Options: o, mux: http.NewServeMux(), exchange: make(chan struct{}, 1)}
	f.ctx, f.stop = context.WithCancel(context.Background())
	for _, r := range f.routes() {
		f.mux.HandleFunc(r.method+" "+r.path, func(w http.ResponseWriter, req *http.Request) {
			if err := r.serve(w, req); err != nil {
				if license.AsError(err) == nil && !unreachable(err) {
					f.Log.ErrorContext(req.Context(), "a request of this host failed", "method", r.method, "path", r.path, "error", err)
				}
				writeProblem(w, err)
			}
		})
	}
	return f
}

// Close ends what goes on in the background.
func (f *Face) Close() {
	f.stop()
	f.work.Wait()
}

func unreachable(err error) bool {
	_, ok := errors.AsType[*agent.Unreachable](err)
	return ok
}

// route is one row of the table of all that a face serves.
type route struct {
	method, path string
	serve        func(http.ResponseWriter, *http.Request) error
}

// routes is the table. An address that is not in it does not exist.
func (f *Face) routes() []route {
	return append([]route{
		{"GET", "/v1/status", f.status},
		{"GET", "/v1/show/{view}", f.show},
		{"GET", "/v1/decision", f.decision},
		{"GET", "/v1/decision/{action}", f.decision},
		{"GET", "/v1/usage", f.usage},
		{"PUT", "/v1/usage/{tag}", f.setUsage},
		{"POST", "/v1/intervals", f.addIntervals},
		{"POST", "/v1/report", f.report},
		{"POST", "/v1/registration", f.register},
		{"POST", "/v1/registration/renew", f.renew},
		{"POST", "/v1/registration/cancel", f.cancel},
		{"DELETE", "/v1/registration", f.deregister},
		{"GET", "/v1/transport", f.transport},
		{"PUT", "/v1/transport", f.setTransport},
		{"GET", "/v1/privacy", f.privacy},
		{"PUT", "/v1/privacy", f.setPrivacy},
		{"POST", "/v1/doctor", f.doctor},
		{"GET", "/v1/firewall", f.firewall},
	}, append(f.reservationRoutes(), f.smallRoutes()...)...)
}

// reply writes a document, or returns the error.
func reply(w http.ResponseWriter, doc any, err error) error {
	if err == nil {
		write(w, http.StatusOK, doc)
	}
	return err
}

// View is the status with what the page needs beside it. Its JSON form is a contract.
type View struct {
	agent.Status
	// Next says in one sentence each what to do next about the registration and about the authorization.
	Next Advice `json:"next"`
}

func (f *Face) view(ctx context.Context) (View, error) {
	s, err := f.Agent.Status(ctx)
	return View{Status: s, Next: Advise(s)}, err
}

func (f *Face) status(w http.ResponseWriter, r *http.Request) error {
	v, err := f.view(r.Context())
	return reply(w, v, err)
}

// show serves the texts of `show license`.
func (f *Face) show(w http.ResponseWriter, r *http.Request) error {
	text, known := Texts()[r.PathValue("view")]
	if !known {
		return license.Refuse(license.KindNotFound, "not-found", "the texts are all, status, summary, tech-support, udi and usage", "there is no text %.100q", r.PathValue("view"))
	}
	s, err := f.Agent.Status(r.Context())
	if err != nil {
		return err
	}
	writeText(w, text(s, f.Now()))
	return nil
}

func writeText(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write([]byte(text)) // the caller may be gone
}

// decision says what the product may do; with an action, whether it may do that.
func (f *Face) decision(w http.ResponseWriter, r *http.Request) error {
	d := f.Agent.Decision()
	action := agent.Action(r.PathValue("action"))
	if action == "" {
		return reply(w, d, nil)
	}
	switch action {
	case agent.ActionRun, agent.ActionUse, agent.ActionProvision, agent.ActionManage, agent.ActionRegister:
	default:
		return license.Refuse(license.KindNotFound, "not-found", "the actions are run, use, provision, manage-licenses and register", "there is no action %.100q", action)
	}
	return reply(w, struct {
		agent.Decision
		Action  agent.Action `json:"action"`
		Allowed bool         `json:"allowed"`
	}{d, action, d.Allows(action)}, nil)
}

func (f *Face) usage(w http.ResponseWriter, r *http.Request) error {
	s, err := f.Agent.Status(r.Context())
	if s.Licenses == nil {
		s.Licenses = []agent.License{}
	}
	return reply(w, map[string]any{"items": s.Licenses}, err)
}

func (f *Face) setUsage(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Count *int64 `json:"count"`
	}
	if err := read(r, &body); err != nil {
		return err
	}
	if body.Count == nil {
		return license.Refuse(license.KindInvalid, "malformed", `send {"count": 3}`, "the count is missing")
	}
	if err := f.Agent.SetUsage(r.Context(), r.PathValue("tag"), *body.Count); err != nil {
		return err
	}
	return f.usage(w, r)
}

func (f *Face) addIntervals(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Items []agent.Interval `json:"items"`
	}
	if err := read(r, &body); err != nil {
		return err
	}
	if err := f.Agent.AddInterval(r.Context(), body.Items...); err != nil {
		return err
	}
	s, err := f.Agent.Status(r.Context())
	return reply(w, map[string]int{"waitingIntervals": s.WaitingIntervals}, err)
}

func (f *Face) report(w http.ResponseWriter, r *http.Request) error {
	answer, err := f.Agent.Report(r.Context())
	return reply(w, answer, err)
}

func (f *Face) register(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Token string `json:"token"`
		Force bool   `json:"force"`
	}
	if err := read(r, &body); err != nil {
		return err
	}
	if err := f.Agent.Register(r.Context(), body.Token, body.Force); err != nil {
		return err
	}
	return f.status(w, r)
}

func (f *Face) renew(w http.ResponseWriter, r *http.Request) error {
	if err := f.Agent.RenewIdentity(r.Context()); err != nil {
		return err
	}
	return f.status(w, r)
}

func (f *Face) cancel(w http.ResponseWriter, r *http.Request) error {
	if err := f.Agent.CancelRegistration(r.Context()); err != nil {
		return err
	}
	return f.status(w, r)
}

// deregister says with 202 that the authority does not know it yet.
func (f *Face) deregister(w http.ResponseWriter, r *http.Request) error {
	s, err := f.Agent.Status(r.Context())
	if err != nil {
		return err
	}
	confirmed, err := f.Agent.Deregister(r.Context())
	if err != nil {
		return err
	}
	status := http.StatusOK
	if !confirmed {
		status = http.StatusAccepted
	}
	write(w, status, struct {
		Instance  string `json:"instance"`
		Confirmed bool   `json:"confirmed"`
	}{s.Registration.Instance, confirmed})
	return nil
}

func (f *Face) transport(w http.ResponseWriter, r *http.Request) error {
	s, err := f.Agent.Status(r.Context())
	return reply(w, s.Route, err)
}

// setTransport takes the document that transport shows, with a password beside it. A password that is left out stays the
// same as long as proxy and user do: it is never shown, so a page cannot send it back.
func (f *Face) setTransport(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Kind     agent.RouteKind `json:"type"`
		Address  string          `json:"url"`
		Proxy    string          `json:"proxy"`
		User     string          `json:"user"`
		Password *string         `json:"password"`
	}
	if err := read(r, &body); err != nil {
		return err
	}
	route := agent.Route{Kind: body.Kind, Address: body.Address, Proxy: body.Proxy, User: body.User}
	set := f.Agent.SetRouteKeepingPassword
	if body.Password != nil {
		route.Password, set = *body.Password, f.Agent.SetRoute
	}
	if err := set(r.Context(), route); err != nil {
		return err
	}
	return f.transport(w, r)
}

func (f *Face) privacy(w http.ResponseWriter, r *http.Request) error {
	s, err := f.Agent.Status(r.Context())
	return reply(w, s.Privacy, err)
}

func (f *Face) setPrivacy(w http.ResponseWriter, r *http.Request) error {
	var p agent.Privacy
	if err := read(r, &p); err != nil {
		return err
	}
	if err := f.Agent.SetPrivacy(r.Context(), p); err != nil {
		return err
	}
	return f.privacy(w, r)
}

func (f *Face) doctor(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Token string `json:"token"`
	}
	if err := read(r, &body); err != nil {
		return err
	}
	d, err := f.Agent.Doctor(r.Context(), body.Token)
	return reply(w, struct {
		agent.Diagnosis
		Healthy bool `json:"healthy"`
	}{d, d.Healthy()}, err)
}

func (f *Face) firewall(w http.ResponseWriter, r *http.Request) error {
	openings, err := f.Agent.Firewall(r.Context())
	return reply(w, map[string]any{"items": openings}, err)
}
