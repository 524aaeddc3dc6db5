package authority

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

// hello answers anybody who asks whether the way to this authority carries signed answers: with the nonce and the time,
// signed. It reads and writes nothing, says nothing about any account, and the question names nobody: its key is made for it.
func (a *Authority) hello(_ context.Context, envelope []byte) ([]byte, error) {
	e, err := trust.OpenProduct(envelope, wire.KindHello, wire.Audience, nil)
	if err != nil {
		return nil, badEnvelope(err)
	}
	var m wire.Hello
	if err := wire.Decode(e.Payload, &m); err != nil {
		return nil, err
	}
	payload, err := json.Marshal(wire.Greeting{Nonce: m.Nonce, ServerTime: a.now().UTC()})
	if err != nil {
		return nil, fmt.Errorf("encode greeting: %w", err)
	}
	return a.keys.Seal(trust.Header{Kind: wire.KindGreeting, Audience: m.Nonce, Chain: a.keys.SignerChain()}, payload), nil
}
