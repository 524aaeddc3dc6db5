package conference

import (
	"encoding/json"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/meeting"
)

// TestEncodersWriteWhatJSONReads holds the encoders by hand to encoding/json.
func TestEncodersWriteWhatJSONReads(t *testing.T) {
	t.Parallel()
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ -~]*`))
	rapid.Check(t, func(t *rapid.T) {
		facts := rapid.SliceOf(rapid.Custom(func(t *rapid.T) storedFact {
			f := storedFact{Code: text.Draw(t, "code")}
			if args := rapid.MapOf(text, text).Draw(t, "args"); len(args) > 0 {
				f.Args = args
			}
			return f
		})).Draw(t, "facts")
		plain := make([]meeting.Fact, len(facts))
		for i, f := range facts {
			plain[i] = meeting.Fact(f)
		}
		var readFacts []storedFact
		if err := json.Unmarshal([]byte(encodeFacts(plain)), &readFacts); err != nil || len(facts) > 0 && !reflect.DeepEqual(readFacts, facts) {
			t.Fatalf("got %+v, %v, want %+v", readFacts, err, facts)
		}
		number := rapid.Int64()
		s := storedSegment{number.Draw(t, "from"), number.Draw(t, "to"), text.Draw(t, "license"), text.Draw(t, "tag"),
			number.Draw(t, "sixths"), text.Draw(t, "user"), text.Draw(t, "rule"), nil}
		if rapid.Bool().Draw(t, "why") {
			s.Why = json.RawMessage(encodeFacts(plain))
		}
		var readSegment storedSegment
		if err := json.Unmarshal(s.encode(nil), &readSegment); err != nil || !reflect.DeepEqual(readSegment, s) {
			t.Fatalf("got %+v, %v, want %+v", readSegment, err, s)
		}
		texts := rapid.SliceOf(text).Draw(t, "texts")
		var readTexts []string
		if err := json.Unmarshal(appendTexts(nil, texts), &readTexts); err != nil || len(texts) > 0 && !reflect.DeepEqual(readTexts, texts) {
			t.Fatalf("got %q, %v, want %q", readTexts, err, texts)
		}
	})
}
