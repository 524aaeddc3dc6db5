package api

import "fmt"

// Problem is a refusal (RFC 9457) with two members more: a stable code, and a hint what to do next. It is the error of a
// Client when the server said No.
type Problem struct {
	Title  string `json:"title" doc:"What the status number means."`
	Status int    `json:"status" doc:"The status number of the answer."`
	Detail string `json:"detail" doc:"What was wrong, as a sentence for people."`
	Code   string `json:"code" doc:"Stable code of the refusal."`
	Hint   string `json:"hint,omitempty" doc:"What to do next."`
}

// Error returns what was wrong.
func (p *Problem) Error() string { return p.Detail }

// Unreachable is the error of a Client that got no answer, or one that another server gave in the place of ours. The request
// may have been carried out.
type Unreachable struct {
	URL string
	Err error
}

// Error names the server.
func (u *Unreachable) Error() string { return fmt.Sprintf("reach %s: %v", u.URL, u.Err) }

// Unwrap returns the cause.
func (u *Unreachable) Unwrap() error { return u.Err }
