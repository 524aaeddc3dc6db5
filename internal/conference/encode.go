package conference

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"github.com/tallystick/tallystick/internal/meeting"
)

// The JSON that every meeting keeps is written by hand: encoding/json takes longer than the decision. It reads it back.

// encodeFacts makes a list of storedFact.
func encodeFacts(facts []meeting.Fact) string {
	b := append(make([]byte, 0, 96*len(facts)+2), '[')
	for i, f := range facts {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(append(b, `{"code":`...), f.Code)
		if len(f.Args) > 0 {
			b = append(b, `,"args":{`...)
			for j, name := range slices.Sorted(maps.Keys(f.Args)) {
				if j > 0 {
					b = append(b, ',')
				}
				b = appendText(append(appendText(b, name), ':'), f.Args[name])
			}
			b = append(b, '}')
		}
		b = append(b, '}')
	}
	return string(append(b, ']'))
}

func (s *storedSegment) encode(b []byte) []byte {
	b = strconv.AppendInt(append(b, `{"from":`...), s.From, 10)
	b = strconv.AppendInt(append(b, `,"to":`...), s.To, 10)
	b = appendText(append(b, `,"license":`...), s.License)
	b = appendText(append(b, `,"tag":`...), s.Tag)
	b = strconv.AppendInt(append(b, `,"sixths":`...), s.Sixths, 10)
	if s.User != "" {
		b = appendText(append(b, `,"user":`...), s.User)
	}
	b = appendText(append(b, `,"rule":`...), s.Rule)
	if s.Why != nil {
		b = append(append(b, `,"why":`...), s.Why...)
	}
	return append(b, '}')
}

func appendTexts(b []byte, texts []string) []byte {
	b = append(b, '[')
	for i, t := range texts {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, t)
	}
	return append(b, ']')
}

func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			text, _ := json.Marshal(s) // text cannot fail
			return append(b, text...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
