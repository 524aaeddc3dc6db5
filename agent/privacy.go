package agent

import (
	"context"
	"time"

	"github.com/tallystick/tallystick/internal/wire"
)

// Privacy says what the product does not tell the authority: what is true here is in no message. What was told before stays
// there until the instance is removed.
type Privacy struct {
	// Hostname keeps the host name, Version the version of the product.
	Hostname bool `json:"hostname"`
	Version  bool `json:"version"`
}

// SetPrivacy sets what is told from the next message on. A message that was made before and has no answer yet is sent again
// as it is.
func (a *Agent) SetPrivacy(ctx context.Context, p Privacy) error {
	return a.update(ctx, func(st *state, _ time.Time) error {
		if err := st.alone(); err != nil {
			return err
		}
		st.Privacy = p
		return nil
	})
}

// told is the product as the authority hears of it.
func (st *state) told() wire.Product {
	p := st.Product
	if st.Privacy.Hostname {
		p.Hostname = ""
	}
	if st.Privacy.Version {
		p.Version = ""
	}
	return p
}
